"""The `anthropic` SDK for Python against the gateway."""

import asyncio
import sys

import anthropic
from checks import BASE_URL, KEY, raises, run

MESSAGES = [{"role": "user", "content": "Hello?"}]
TOOLS = [{"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
CALL = {"model": "claude-m", "max_tokens": 100, "messages": MESSAGES}


def client(**options):
    return anthropic.Anthropic(base_url=BASE_URL, api_key=KEY, **options)


def check_messages():
    answer = client().messages.create(**CALL)
    assert answer.content[0].text == "Hello there.", answer
    assert (answer.stop_reason, answer.usage.output_tokens) == ("end_turn", 5), answer
    assert answer._request_id, answer


def check_stream():
    with client().messages.stream(**CALL) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == "Hello there.", text
    assert final.usage.output_tokens == 5, final
    assert final.usage.cache_read_input_tokens == 2, final


def check_tools():
    answer = client().messages.create(**CALL, tools=TOOLS)
    assert (answer.content[0].name, answer.content[0].input) == ("get_weather", {"city": "Ulm"}), answer
    with client().messages.stream(**CALL, tools=TOOLS) as stream:
        streamed = stream.get_final_message()
    assert streamed.content[0].input == {"city": "Ulm"}, streamed


def check_count_tokens():
    counted = client().messages.count_tokens(model="claude-m", messages=MESSAGES)
    assert counted.input_tokens == 11, counted


def check_models():
    models = [model.id for model in client().models.list(limit=1)]
    assert "claude-m" in models, "more pages are fetched until the end"
    assert client().models.retrieve("claude-m").id == "claude-m"


def check_errors():
    sdk = client(max_retries=0)
    call = dict(CALL)
    error = raises(anthropic.NotFoundError, lambda: sdk.messages.create(**{**call, "model": "nothing"}))
    assert error.body["error"]["type"] == "not_found_error", error.body
    assert error.request_id, error
    error = raises(
        anthropic.BadRequestError, lambda: sdk.messages.create(**call, metadata={"user_id": "bad-value"})
    )
    assert "user is not right" in error.message, error.message
    stranger = anthropic.Anthropic(base_url=BASE_URL, api_key="not-a-key-0123456789", max_retries=0)
    raises(anthropic.AuthenticationError, lambda: stranger.messages.create(**call))
    error = raises(
        anthropic.RateLimitError,
        lambda: sdk.messages.create(**{**call, "model": "claude-limited"}, metadata={"user_id": "all-day"}),
    )
    assert int(error.response.headers["retry-after"]) > 1, error.response.headers


def check_error_in_a_stream():
    def read():
        with client(max_retries=0).messages.stream(**CALL, metadata={"user_id": "cut"}) as stream:
            return "".join(stream.text_stream)

    raises(anthropic.APIStatusError, read)


def check_own_retries():
    raw = client(max_retries=2).messages.with_raw_response.create(
        **{**CALL, "model": "claude-recovering"}, metadata={"user_id": "once-anthropic"}
    )
    assert raw.retries_taken >= 1, raw.retries_taken
    assert raw.parse().content[0].text == "Hello there."


def check_own_retries_of_failures():
    raw = client(max_retries=3).messages.with_raw_response.create(
        **{**CALL, "model": "claude-failing"}, metadata={"user_id": "fails-anthropic"}
    )
    assert raw.retries_taken >= 1, raw.retries_taken
    assert raw.parse().content[0].text == "Hello there."


def check_async_stream():
    async def call():
        async with anthropic.AsyncAnthropic(base_url=BASE_URL, api_key=KEY) as asynchronous:
            async with asynchronous.messages.stream(**CALL) as stream:
                return "".join([text async for text in stream.text_stream])

    assert asyncio.run(asyncio.wait_for(call(), 10)) == "Hello there."


if __name__ == "__main__":
    run(sys.modules[__name__])
