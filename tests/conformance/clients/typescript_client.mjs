// The client of the TypeScript SDK: node typescript_client.mjs URL modern|legacy < plan.json
// plan.py says what plans and accounts are.

import { readFileSync } from "node:fs";

import { Client, ProtocolError, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

const [url, era] = process.argv.slice(2);
const plan = JSON.parse(readFileSync(0, "utf8"));

for (let round = 0; round < plan.rounds; round += 1) {
  console.log(JSON.stringify(await drive()));
}

/** Work through the plan on one connection. */
async function drive() {
  const asked = [];
  const client = new Client(
    { name: "typescript-client", version: "1.0.0" },
    {
      capabilities: plan.answers ? { elicitation: { form: {} }, sampling: {}, roots: {} } : {},
      versionNegotiation: { mode: era === "modern" ? "auto" : "legacy" },
    },
  );
  if (plan.answers) {
    answerWhatIsAsked(client, asked);
  }
  await client.connect(new StreamableHTTPClientTransport(new URL(url)));
  try {
    const steps = [];
    for (const step of plan.steps) {
      steps.push(await outcome(client, asked, step));
    }
    return { version: client.getNegotiatedProtocolVersion(), steps };
  } finally {
    await client.close();
  }
}

/** Let the user answer, and remember what was asked. */
function answerWhatIsAsked(client, asked) {
  client.setRequestHandler("elicitation/create", ({ method, params }) => {
    asked.push(method);
    if (plan.answers.form === null) {
      return { action: "decline" };
    }
    const fields = Object.entries(plan.answers.form).filter(([name]) => name in params.requestedSchema.properties);
    return { action: "accept", content: Object.fromEntries(fields) };
  });
  client.setRequestHandler("sampling/createMessage", ({ method }) => {
    asked.push(method);
    return { role: "assistant", model: "test", content: { type: "text", text: plan.answers.model } };
  });
  client.setRequestHandler("roots/list", ({ method }) => {
    asked.push(method);
    return { roots: plan.answers.roots.map((uri) => ({ uri })) };
  });
}

async function outcome(client, asked, step) {
  const progress = [];
  asked.length = 0;
  const tell = (told) => progress.push([told.progress, told.total ?? null, told.message ?? null]);
  try {
    const result = await perform(client, step.method, step.params, step.progress ? { onprogress: tell } : {});
    return { result, progress, asked: [...asked].sort() };
  } catch (error) {
    if (error instanceof ProtocolError) {
      return { error: { code: error.code, message: error.message } };
    }
    throw error;
  }
}

async function perform(client, method, params, options) {
  switch (method) {
    case "tools/list":
      return client.listTools();
    case "tools/call":
      return client.callTool(params, options);
    case "resources/list":
      return client.listResources();
    case "resources/templates/list":
      return client.listResourceTemplates();
    case "resources/read":
      return client.readResource(params);
    case "prompts/list":
      return client.listPrompts();
    case "prompts/get":
      return client.getPrompt(params);
    case "completion/complete":
      return client.complete(params);
    default:
      throw new Error(method);
  }
}
