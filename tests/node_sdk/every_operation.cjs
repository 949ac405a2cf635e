// Runs every operation of the official Node SDK against the API at the given address.
// Usage: node every_operation.cjs FOLDER_WITH_NODE_MODULES URL
"use strict";

const path = require("node:path");

const [folder, url] = process.argv.slice(2);
const sdk = path.join(folder, "node_modules", "@linkedapi", "node", "dist");
const { buildLinkedApiHttpClient } = require(path.join(sdk, "core"));
const LinkedApi = require(sdk).default;

const PERSON = "https://www.linkedin.com/in/person1";
const HASHED_PERSON = "https://www.linkedin.com/in/SInQBmjJ015eLr8";
const COMPANY = "https://www.linkedin.com/company/company1";
const HASHED_COMPANY = "https://www.linkedin.com/company/12345678";
const POST =
  "https://www.linkedin.com/feed/update/urn:li:activity:7461747346638207121";

const PARAMETERS = {
  customWorkflow: { actionType: "st.retrieveSSI" },
  sendMessage: { personUrl: PERSON, text: "Hello" },
  syncConversation: { personUrl: PERSON },
  checkConnectionStatus: { personUrl: PERSON },
  sendConnectionRequest: { personUrl: PERSON, note: "Hello" },
  withdrawConnectionRequest: { personUrl: PERSON },
  retrievePendingRequests: undefined,
  retrieveConnections: { limit: 3 },
  removeConnection: { personUrl: PERSON },
  searchCompanies: { term: "Tech", limit: 3 },
  searchPeople: { term: "robots", limit: 3 },
  fetchPerson: {
    personUrl: PERSON,
    retrieveExperience: true,
    retrievePosts: true,
    postsRetrievalConfig: { limit: 3 },
  },
  fetchCompany: {
    companyUrl: COMPANY,
    retrieveEmployees: true,
    employeesRetrievalConfig: { limit: 3 },
    retrieveDMs: true,
    dmsRetrievalConfig: { limit: 3 },
  },
  fetchPost: { postUrl: POST },
  reactToPost: { postUrl: POST, type: "like" },
  commentOnPost: { postUrl: POST, text: "Well said" },
  createPost: { text: "Hello" },
  retrieveSSI: undefined,
  retrievePerformance: undefined,
  nvSendMessage: { personUrl: PERSON, text: "Hello", subject: "Hello" },
  nvSyncConversation: { personUrl: PERSON },
  nvSearchCompanies: { term: "Tech", limit: 3 },
  nvSearchPeople: { term: "robots", limit: 3 },
  nvFetchCompany: { companyHashedUrl: HASHED_COMPANY, retrieveEmployees: true },
  nvFetchPerson: { personHashedUrl: HASHED_PERSON },
};

async function main() {
  const tokens = { linkedApiToken: "token", identificationToken: "account" };
  const client = new LinkedApi(buildLinkedApiHttpClient(tokens, "node", url));
  const names = client.operations.map((operation) => operation.operationName);
  const missing = names.filter((name) => !(name in PARAMETERS));
  if (missing.length) throw new Error(`no parameters for ${missing}`);
  for (const operation of client.operations) {
    const name = operation.operationName;
    const id = await operation.execute(PARAMETERS[name]);
    const { errors } = await operation.result(id, { pollInterval: 20 });
    if (errors.length) throw new Error(`${name}: ${JSON.stringify(errors)}`);
  }
  console.log(`${names.length} of ${names.length} operations`);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
