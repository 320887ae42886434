/**
 * Copies a table into a file, each change exactly once: items and position are kept in one write.
 *
 *     npm install PATH/shardstream-0.1.0.tgz
 *     node examples/typescript/into_table.ts TABLE FILE [HOST:PORT]
 */

import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { argv } from "node:process";
import { type ChangeRecord, connect, type TokenStore } from "shardstream";

interface Kept {
  position: string;
  items: Record<string, { item: string; changes: number }>;
}

/** The items and the position, in one file. It is the subscription's token store, too. */
class Copy implements TokenStore {
  readonly file: string;
  kept: Kept = { position: "", items: {} };

  constructor(file: string) {
    this.file = file;
    if (existsSync(file)) this.kept = JSON.parse(readFileSync(file, "utf8")) as Kept;
  }

  /** One change. It is kept when `save` is called, which is when its batch is done. */
  apply(record: ChangeRecord): void {
    const key = text(record.key);
    if (record.type === "REMOVE") delete this.kept.items[key];
    else this.kept.items[key] = { item: text(record.newImage), changes: (this.kept.items[key]?.changes ?? 0) + 1 };
  }

  /** Where to go on; empty at first. */
  load(): string {
    return this.kept.position;
  }

  /** Keeps the position, and with it everything since the last. */
  save(position: string): void {
    this.kept.position = position;
    writeFileSync(`${this.file}.new`, JSON.stringify(this.kept));
    renameSync(`${this.file}.new`, this.file);
  }
}

/** JSON has no sets, bytes and numbers of 38 digits; a program that knows its items needs none of this. */
function text(item: unknown): string {
  return JSON.stringify(item, (_, value: unknown) => {
    if (value instanceof Set) return [...value] as unknown[];
    if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
    return typeof value === "bigint" ? String(value) : value;
  });
}

const [, , table = "", file, server = "localhost:50051"] = argv;
if (file === undefined) {
  // Each item of the copy, and how often it was changed.
  for (const { item, changes } of Object.values(new Copy(table).kept.items)) console.log(item, changes);
} else {
  const copy = new Copy(file);
  for await (const message of connect(server).subscribe(table, { store: copy }))
    message.records.forEach((r) => copy.apply(r));
}
