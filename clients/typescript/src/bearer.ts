/** A bearer token, or a function that fetches one. */
export type Credentials = string | (() => string | Promise<string>);

/** The bearer token of all calls: kept until the server refuses it. */
export class Bearer {
  #header: Promise<string> | undefined;
  #newest: string | undefined;

  constructor(
    private readonly source: Credentials | undefined,
    isPrivate: boolean,
  ) {
    if (source !== undefined && !isPrivate)
      throw new TypeError("credentials travel by TLS, or to this machine only: give `tls`");
  }

  /** The header `authorization`; fetched once however many calls want it. */
  async header(): Promise<string | undefined> {
    if (this.source === undefined) return undefined;
    this.#header ??= this.#fetch(this.source);
    try {
      return (this.#newest = await this.#header);
    } catch (failed) {
      this.#header = undefined;
      throw failed;
    }
  }

  /** Has the next header fetched anew, unless that was done since this one. False where nothing can be. */
  renew(refused: string | undefined): boolean {
    if (typeof this.source !== "function") return false;
    if (refused === this.#newest) this.#header = undefined;
    return true;
  }

  async #fetch(source: Credentials): Promise<string> {
    return `Bearer ${typeof source === "function" ? await source() : source}`;
  }
}
