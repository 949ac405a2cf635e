// Tries the schemas in Ajv's strict mode and in the JSON service of VS Code:
// node editors.mjs NODE_MODULES_FOLDER SCHEMA...
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [folder, ...files] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
const { default: Ajv } = require("ajv");
const { default: Ajv2020 } = require("ajv/dist/2020");
const { getLanguageService, TextDocument } = require("vscode-json-languageservice");

const ADA = "https://www.linkedin.com/in/ada";
const OLDER = "http://json-schema.org/draft-07/schema#";
const complain = (...words) => assert.fail(words.join(" "));
const logger = { log: complain, warn: complain, error: complain };

for (const file of files) {
  const schema = JSON.parse(readFileSync(file, "utf8"));
  new Ajv2020({ strict: true, logger }).compile(schema);
  new Ajv({ strict: true, logger }).compile({ ...schema, $schema: OLDER });
}

const schema = JSON.parse(readFileSync(files[0], "utf8"));
const validate = new Ajv2020({ strict: true, logger }).compile(schema);
const page = (then) => ({ actionType: "st.openPersonPage", personUrl: ADA, then });
assert(validate(page([{ actionType: "st.retrievePersonPosts", limit: 20 }])));
assert(!validate(page([{ actionType: "st.retrievePersonPosts", limit: "20" }])));
assert.equal(validate.errors[0].instancePath, "/then/0/limit");
assert.equal(validate.errors[0].message, "must be integer");

const service = getLanguageService({});
service.configure({ schemas: [{ uri: "workflow:schema", fileMatch: ["*"], schema }] });

// A document with a cursor, "|".
function at(text) {
  const offset = text.indexOf("|");
  const plain = text.replace("|", "");
  const document = TextDocument.create("file:///w.json", "json", 1, plain);
  return [document, document.positionAt(offset), service.parseJSONDocument(document)];
}

const labels = async (text) =>
  (await service.doComplete(...at(text))).items.map((item) => item.label);
const inPage = (text) =>
  `{"actionType": "st.openCompanyPage", "companyUrl": "u", ${text}}`;

const roots = await labels('{"actionType": "|"}');
assert(roots.includes('"st.openPersonPage"'));
assert(!roots.includes('"st.retrievePersonSkills"'));
assert.deepEqual(await labels(inPage('"then": [{"actionType": "|"}]')), [
  '"nv.openCompanyPage"',
  '"st.retrieveCompanyEmployees"',
  '"st.retrieveCompanyDMs"',
  '"st.retrieveCompanyPosts"',
]);
assert.deepEqual(await labels(inPage('"|": 1')), ["basicInfo", "label", "then"]);

const hover = await service.doHover(
  ...at(inPage('"then": {"actionType": "st.retrieveCompanyEmployees", "li|mit": 5}')),
);
assert.match(hover.contents[0], /^How many at most/);

const [document, , json] = at(inPage('"then": [{"actionType": "st.searchPeople"}, 7, {}]'));
const wrong = (await service.doValidation(document, json)).map((one) => one.message);
assert.equal(wrong.length, 3);
assert.match(wrong[0], /^Value is not accepted. Valid values: "nv.openCompanyPage"/);
assert.equal(wrong[1], 'Incorrect type. Expected "object".');
assert.equal(wrong[2], 'Missing property "actionType".');
console.log(`editors: ${files.length} schemas, completions, hovers and problems`);
