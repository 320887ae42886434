/**
 * Opens the page that follows a stream (examples/browser) in Chromium, and tells what its user sees: a line of JSON for each
 * record's key, and for each step that stdin asks for.
 *
 *     node browser.js CHROMIUM URL
 *
 * "reload" loads the page again, "shot FILE" photographs it, "state" prints what it says of itself.
 */

import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const [program, url] = process.argv.slice(2);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const browser = await chromium.launch({ executablePath: program, headless: true, args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1000, height: 620 } });
page.on("pageerror", (failed) => say({ fault: String(failed.stack ?? failed) }));
await page.exposeFunction("told", (key) => say({ key }));
await page.addInitScript(() => globalThis.addEventListener("record", ({ detail }) => globalThis.told(detail)));
await page.goto(url);
for await (const line of createInterface({ input: process.stdin })) {
  const [step, file] = line.split(" ");
  if (step === "reload") await page.reload();
  if (step === "shot") await page.screenshot({ path: file });
  say({ state: await page.textContent("#state"), class: await page.getAttribute("#state", "class") });
}
await browser.close();
