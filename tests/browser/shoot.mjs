// Pictures of a GLB by three.js in headless Chromium: node shoot.mjs FILE.glb SHOTS.json FOLDER
// Writes FOLDER/NAME.png for each shot and prints what three.js found in the file as JSON; exits with 1 where that fails.
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { basename, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".json": "application/json", ".glb": "model/gltf-binary" };
const LIMIT_MS = 240_000;
// No graphics card is needed: SwiftShader draws on the processor, the same everywhere.
const FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"];

const [glb, shots, folder] = process.argv.slice(2);
const chromium = process.env.CHROMIUM ?? "chromium";
const profile = await mkdtemp(join(tmpdir(), "recon-browser-"));

function fileOf(path) {
  if (path === "/head.glb") return glb;
  if (path === "/shots.json") return shots;
  return join(HERE, normalize(path === "/" ? "/page.html" : path));
}

async function bodyOf(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const result = new Promise((resolve, reject) => {
  const server = createServer(async (request, response) => {
    const path = new URL(request.url, "http://localhost").pathname;
    if (request.method === "POST") {
      const body = await bodyOf(request);
      if (path.startsWith("/shot/")) await writeFile(join(folder, `${basename(path)}.png`), body);
      response.end();
      if (path === "/done") resolve(body.toString());
      if (path === "/failed") reject(new Error(body.toString()));
      return;
    }
    try {
      const content = await readFile(fileOf(path));
      response.writeHead(200, { "content-type": TYPES[extname(path)] ?? (path === "/" ? "text/html" : "application/octet-stream") });
      response.end(content);
    } catch {
      response.writeHead(404).end();
    }
  });
  server.listen(0, "127.0.0.1", () => {
    const url = `http://127.0.0.1:${server.address().port}/`;
    const browser = spawn(chromium, [...FLAGS, `--user-data-dir=${profile}`, url], { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    browser.stderr.on("data", (text) => (said = (said + text).slice(-4000)));
    browser.on("error", reject);
    browser.on("exit", () => reject(new Error(`${chromium} ended before the pictures were there:\n${said}`)));
    setTimeout(() => reject(new Error(`no pictures within ${LIMIT_MS / 1000} s:\n${said}`)), LIMIT_MS).unref();
    process.on("exit", () => browser.kill());
  });
});

let code = 0;
try {
  process.stdout.write(await result);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  code = 1;
}
await rm(profile, { recursive: true, force: true }).catch(() => {});
process.exit(code);
