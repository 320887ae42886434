import { open, readFile, rename } from "node:fs/promises";
import { pid } from "node:process";
import type { TokenStore } from "./stores.js";

/**
 * Keeps the position in a file, which is replaced whole: killing the program never leaves half a token.
 * With `fsync` it also survives a loss of power, at the price of a disk write for each batch.
 */
export class FileTokenStore implements TokenStore {
  constructor(
    private readonly path: string,
    private readonly options: { fsync?: boolean } = {},
  ) {}

  async load(): Promise<string> {
    try {
      return (await readFile(this.path, "utf8")).trim();
    } catch (failed) {
      if ((failed as NodeJS.ErrnoException).code === "ENOENT") return "";
      throw failed;
    }
  }

  async save(position: string): Promise<void> {
    const draft = `${this.path}.${pid}.new`;
    const file = await open(draft, "w");
    try {
      await file.writeFile(position);
      if (this.options.fsync) await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, this.path);
  }
}
