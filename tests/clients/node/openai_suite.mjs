// The `openai` SDK for Node.js against the gateway.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The SDK lies in the cache, not beside this file.
const require = createRequire(`${process.env.ROUNDHOUSE_NODE}/package.json`);
const { default: OpenAI, AzureOpenAI } = await import(pathToFileURL(require.resolve("openai")).href);

const baseURL = `${process.env.ROUNDHOUSE_BASE_URL}/v1`;
const apiKey = process.env.ROUNDHOUSE_KEY;
const messages = [{ role: "user", content: "Hello?" }];
const tools = [
  {
    type: "function",
    function: { name: "get_weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
  },
];

const client = (options) => new OpenAI({ baseURL, apiKey, ...options });

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

async function raises(kind, call) {
  try {
    await call();
  } catch (error) {
    assert(error instanceof kind, `expected ${kind.name}, got ${error}`);
    return error;
  }
  assert.fail(`expected ${kind.name}, nothing was raised`);
}

const checks = {
  async chat() {
    const answer = await client().chat.completions.create({ model: "m", messages });
    assert.equal(answer.choices[0].message.content, "Hello there.");
    assert.equal(answer.usage.total_tokens, 16);
    assert(answer._request_id);
  },

  async stream() {
    const chunks = await collect(await client().chat.completions.create({ model: "m", messages, stream: true }));
    assert.equal(chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join(""), "Hello there.");
  },

  async stream_with_usage() {
    const stream_options = { include_usage: true };
    const chunks = await collect(
      await client().chat.completions.create({ model: "m", messages, stream: true, stream_options }),
    );
    assert.equal(chunks.at(-1).usage.completion_tokens, 5);
  },

  async stream_helper() {
    const runner = client().chat.completions.stream({ model: "m", messages });
    assert.equal(await runner.finalContent(), "Hello there.");
  },

  async tools() {
    const answer = await client().chat.completions.create({ model: "m", messages, tools });
    assert.equal(answer.choices[0].message.tool_calls[0].function.arguments, '{"city":"Ulm"}');
    const runner = client().chat.completions.stream({ model: "m", messages, tools });
    const final = await runner.finalChatCompletion();
    const call = final.choices[0].message.tool_calls[0];
    assert.deepEqual([call.id, call.function.name, call.function.arguments], ["call_1", "get_weather", '{"city":"Ulm"}']);
  },

  async embeddings() {
    const answer = await client().embeddings.create({ model: "m", input: ["a", "b"] });
    assert.deepEqual(answer.data.map((entry) => Array.from(entry.embedding)), [[0.5, -1], [0.5, -1]]);
  },

  async responses() {
    const sdk = client();
    const answer = await sdk.responses.create({ model: "m", input: "Hello" });
    assert.equal(answer.output_text, "Hello there.");
    assert.equal((await sdk.responses.retrieve(answer.id)).id, answer.id);
    await sdk.responses.delete(answer.id);
    const final = await sdk.responses.stream({ model: "m", input: "Hello" }).finalResponse();
    assert.equal(final.output_text, "Hello there.");
  },

  async models() {
    const ids = (await collect(await client().models.list())).map((model) => model.id);
    assert(ids.includes("m"), ids.join());
    assert.equal((await client().models.retrieve("vendor/model")).id, "vendor/model");
  },

  async errors() {
    const chat = client({ maxRetries: 0 }).chat.completions;
    const unknown = await raises(OpenAI.NotFoundError, () => chat.create({ model: "nothing", messages }));
    assert.equal(unknown.code, "model_not_found");
    assert(unknown.requestID);
    const bad = await raises(OpenAI.BadRequestError, () => chat.create({ model: "m", messages, user: "bad-value" }));
    assert.equal(bad.param, "user");
    const stranger = client({ apiKey: "not-a-key-0123456789", maxRetries: 0 });
    await raises(OpenAI.AuthenticationError, () => stranger.models.list());
    const limited = await raises(OpenAI.RateLimitError, () => chat.create({ model: "limited", messages, user: "all-day" }));
    assert(Number(limited.headers.get("retry-after")) > 1);
    await raises(OpenAI.InternalServerError, () => chat.create({ model: "broken", messages }));
  },

  async error_in_a_stream() {
    const stream = await client({ maxRetries: 0 }).chat.completions.create({
      model: "m",
      messages,
      user: "cut",
      stream: true,
    });
    let text = "";
    await raises(OpenAI.APIError, async () => {
      for await (const chunk of stream) text += chunk.choices[0].delta.content ?? "";
    });
    assert.equal(text, "Hel");
  },

  async own_retries() {
    const { data, response } = await client({ maxRetries: 2 })
      .chat.completions.create({ model: "recovering", messages, user: "once-node" })
      .withResponse();
    assert.equal(data.choices[0].message.content, "Hello there.");
    assert(response.headers.get("x-request-id"));
  },

  async own_retries_of_failures() {
    const answer = await client({ maxRetries: 3 }).chat.completions.create({
      model: "failing",
      messages,
      user: "fails-node",
    });
    assert.equal(answer.choices[0].message.content, "Hello there.");
  },

  async azure() {
    const sdk = new AzureOpenAI({ endpoint: process.env.ROUNDHOUSE_BASE_URL, apiKey, apiVersion: "2024-10-21" });
    const answer = await sdk.chat.completions.create({ model: "m", messages });
    assert.equal(answer.choices[0].message.content, "Hello there.");
    const chunks = await collect(await sdk.chat.completions.create({ model: "m", messages, stream: true }));
    assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), "Hello there.");
    const vectors = await sdk.embeddings.create({ model: "m", input: "a" });
    assert.deepEqual(Array.from(vectors.data[0].embedding), [0.5, -1]);
  },
};

const chosen = process.argv.slice(2);
let failures = 0;
for (const [name, check] of Object.entries(checks)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  try {
    await check();
    console.log(`ok      ${name}`);
  } catch (error) {
    failures += 1;
    console.log(`FAILED  ${name}\n${error.stack}`);
  }
}
process.exit(failures > 0 ? 1 : 0);
