// Khronos' glTF validator on one file: node validate.mjs FILE.glb; prints its report as JSON.
import { readFile } from "node:fs/promises";
import validator from "gltf-validator";

const [path] = process.argv.slice(2);
const report = await validator.validateBytes(new Uint8Array(await readFile(path)), { uri: path, maxIssues: 200 });
process.stdout.write(JSON.stringify(report));
