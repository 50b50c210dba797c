"""Python's `openai` and `anthropic` through the gateway to an upstream that was written elsewhere."""

import sys

import anthropic
import openai
from checks import BASE_URL, KEY, raises, run

HELLO = [{"role": "user", "content": "hello"}]
GREETING = "Hello! How can I help you today?"


def client():
    return openai.OpenAI(base_url=f"{BASE_URL}/v1", api_key=KEY, max_retries=0)


def check_chat():
    answer = client().chat.completions.create(model="m", messages=HELLO)
    assert answer.choices[0].message.content == GREETING, answer
    assert answer.usage.completion_tokens > 0, answer


def check_stream():
    stream = client().chat.completions.create(model="m", messages=HELLO, stream=True)
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == GREETING, chunks


def check_tools():
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]
    with client().chat.completions.stream(
        model="m", messages=[{"role": "user", "content": "weather"}], tools=tools
    ) as stream:
        stream.until_done()
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather", call


def check_responses():
    answer = client().responses.create(model="m", input="hello")
    assert answer.output_text == GREETING, answer
    with client().responses.stream(model="m", input="hello") as stream:
        stream.until_done()
        assert stream.get_final_response().output_text == GREETING


def check_embeddings():
    answer = client().embeddings.create(model="m", input="embed this")
    assert answer.data[0].embedding == [0.5, -1.0], answer


def check_error():
    messages = [{"role": "user", "content": "nothing is prepared for this"}]
    error = raises(openai.NotFoundError, lambda: client().chat.completions.create(model="m", messages=messages))
    assert error.request_id, error


def check_messages():
    sdk = anthropic.Anthropic(base_url=BASE_URL, api_key=KEY, max_retries=0)
    answer = sdk.messages.create(model="claude-m", max_tokens=100, messages=HELLO)
    assert answer.content[0].text == GREETING, answer
    with sdk.messages.stream(model="claude-m", max_tokens=100, messages=HELLO) as stream:
        assert "".join(stream.text_stream) == GREETING


if __name__ == "__main__":
    run(sys.modules[__name__])
