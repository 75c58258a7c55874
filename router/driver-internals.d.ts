/** Not part of the driver's public types: names of collections, as its cursors take them. */
declare module 'mongodb/lib/utils.js' {
  export class MongoDBNamespace {
    static fromString(namespace: string): MongoDBNamespace;
  }
}
