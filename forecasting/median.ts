/** Middle value of the first `length` values, which are put in order for it; 0 of none. */
export function medianInPlace(values: Float64Array, length: number): number {
  if (length === 0) return 0;
  if (length < 24) insertionSort(values, length);
  else values.subarray(0, length).sort();
  return (values[(length - 1) >> 1]! + values[length >> 1]!) / 2;
}

/** Middle value of `values[from..to)`, which stay as they are; what lies before the beginning is left out. */
export function medianOf(values: Float64Array, from = 0, to = values.length): number {
  const part = values.slice(Math.max(0, from), to);
  return medianInPlace(part, part.length);
}

/** Faster than the built-in sort for the few values that most medians here are of. */
function insertionSort(values: Float64Array, length: number): void {
  for (let i = 1; i < length; i++) {
    const value = values[i]!;
    let at = i - 1;
    for (; at >= 0 && values[at]! > value; at--) values[at + 1] = values[at]!;
    values[at + 1] = value;
  }
}
