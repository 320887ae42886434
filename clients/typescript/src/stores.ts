/**
 * Where a subscription keeps how far it has come.
 * What is kept is one text: the stream's newest token, then newer tokens of its shards, separated by blanks. Clients in
 * all languages write the same.
 */

/** Keeps a position. */
export interface TokenStore {
  /** The position that was kept last; empty when there is none. */
  load(): string | Promise<string>;
  /** Keeps the position. Called after your code came back for more, never before. */
  save(position: string): void | Promise<void>;
}

/** Keeps the position as long as the program runs. */
export class MemoryTokenStore implements TokenStore {
  constructor(
    /** The position. */
    public position = "",
  ) {}

  load(): string {
    return this.position;
  }

  save(position: string): void {
    this.position = position;
  }
}

/** What `DynamoDbTokenStore` needs of `DynamoDBDocument` in @aws-sdk/lib-dynamodb. */
export interface DynamoDbDocument {
  get(input: {
    TableName: string;
    Key: Record<string, unknown>;
    ConsistentRead: boolean;
  }): Promise<{ Item?: Record<string, unknown> }>;
  update(input: {
    TableName: string;
    Key: Record<string, unknown>;
    UpdateExpression: string;
    ExpressionAttributeNames: Record<string, string>;
    ExpressionAttributeValues: Record<string, unknown>;
  }): Promise<unknown>;
}

/** Keeps the position in an item of a DynamoDB table. */
export class DynamoDbTokenStore implements TokenStore {
  constructor(
    private readonly document: DynamoDbDocument,
    private readonly table: string,
    private readonly key: Record<string, unknown>,
    private readonly attribute = "position",
  ) {}

  async load(): Promise<string> {
    const { Item } = await this.document.get({ TableName: this.table, Key: this.key, ConsistentRead: true });
    const found = Item?.[this.attribute];
    return typeof found === "string" ? found : "";
  }

  async save(position: string): Promise<void> {
    await this.document.update({
      TableName: this.table,
      Key: this.key,
      UpdateExpression: "SET #p = :p",
      ExpressionAttributeNames: { "#p": this.attribute },
      ExpressionAttributeValues: { ":p": position },
    });
  }
}
