/** Names with nothing behind them are left out. */
type Defined<O> = { [K in keyof O]?: Exclude<O[K], undefined> };

/** For whoever takes a name with nothing behind it for something that was said. */
export const definedOf = <O extends object>(options: O): Defined<O> =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Defined<O>;
