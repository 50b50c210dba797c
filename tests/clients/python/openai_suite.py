"""The `openai` SDK for Python against the gateway."""

import asyncio
import sys

import openai
from checks import BASE_URL, KEY, raises, run

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
MESSAGES = [{"role": "user", "content": "Hello?"}]


def client(**options):
    return openai.OpenAI(base_url=f"{BASE_URL}/v1", api_key=KEY, **options)


def check_chat():
    answer = client().chat.completions.create(model="m", messages=MESSAGES)
    assert answer.choices[0].message.content == "Hello there.", answer
    assert answer.choices[0].finish_reason == "stop", answer
    assert answer.usage.total_tokens == 16, answer
    assert answer.usage.prompt_tokens_details.cached_tokens == 3, answer


def check_request_id():
    raw = client().chat.completions.with_raw_response.create(model="m", messages=MESSAGES)
    assert raw.request_id, raw.headers
    assert raw.parse()._request_id == raw.request_id
    assert raw.retries_taken == 0


def check_stream():
    stream = client().chat.completions.create(model="m", messages=MESSAGES, stream=True)
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello there."
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks), "usage was not asked for"


def check_stream_with_usage():
    stream = client().chat.completions.create(
        model="m", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[-1].usage.completion_tokens == 5, chunks[-1]
    assert chunks[-1].choices == []


def check_stream_helper():
    with client().chat.completions.stream(model="m", messages=MESSAGES) as stream:
        stream.until_done()
        final = stream.get_final_completion()
    assert final.choices[0].message.content == "Hello there.", final
    assert final.choices[0].message.role == "assistant", final


def check_async_stream():
    async def call():
        async with openai.AsyncOpenAI(base_url=f"{BASE_URL}/v1", api_key=KEY) as asynchronous:
            stream = await asynchronous.chat.completions.create(model="m", messages=MESSAGES, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    # The async client reads to the end of the body: an answer that stays open would hang here.
    assert asyncio.run(asyncio.wait_for(call(), 10)) == "Hello there."


def check_tools():
    answer = client().chat.completions.create(model="m", messages=MESSAGES, tools=TOOLS)
    call = answer.choices[0].message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city":"Ulm"}'), call
    again = client().chat.completions.create(
        model="m",
        messages=[
            *MESSAGES,
            answer.choices[0].message,
            {"role": "tool", "tool_call_id": call.id, "content": "Rain."},
        ],
    )
    assert again.choices[0].message.content == "Hello there."


def check_streamed_tools():
    with client().chat.completions.stream(model="m", messages=MESSAGES, tools=TOOLS) as stream:
        stream.until_done()
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert (call.id, call.function.name, call.function.arguments) == ("call_1", "get_weather", '{"city":"Ulm"}'), call


def check_completions():
    answer = client().completions.create(model="m", prompt="Hello")
    assert answer.choices[0].text == "Hello there."
    stream = client().completions.create(model="m", prompt="Hello", stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == "Hello there."


def check_embeddings():
    # The SDK asks for base64 by itself and decodes it.
    answer = client().embeddings.create(model="m", input=["a", "b"])
    assert [entry.embedding for entry in answer.data] == [[0.5, -1.0], [0.5, -1.0]], answer
    answer = client().embeddings.create(model="m", input="a", encoding_format="float")
    assert answer.data[0].embedding == [0.5, -1.0], answer


def check_responses():
    sdk = client()
    answer = sdk.responses.create(model="m", input="Hello")
    assert answer.output_text == "Hello there.", answer
    assert answer.usage.total_tokens == 16
    assert sdk.responses.retrieve(answer.id).id == answer.id
    again = sdk.responses.create(model="m", input="More", previous_response_id=answer.id)
    assert again.output_text == "Hello there."
    assert list(sdk.responses.input_items.list(answer.id)) == []
    sdk.responses.delete(answer.id)
    assert sdk.responses.input_tokens.count(model="m", input="Hello").input_tokens == 11


def check_streamed_responses():
    with client().responses.stream(model="m", input="Hello") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed", kinds
    assert final.output_text == "Hello there.", final


def check_streamed_response_tools():
    tools = [{"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "strict": False}]
    with client().responses.stream(model="m", input="Weather?", tools=tools) as stream:
        stream.until_done()
        call = stream.get_final_response().output[0]
    assert (call.type, call.name, call.arguments) == ("function_call", "get_weather", '{"city":"Ulm"}'), call


def check_models():
    models = [model.id for model in client().models.list()]
    assert "m" in models, models
    assert client().models.retrieve("m").id == "m"
    assert client().models.retrieve("vendor/model").id == "vendor/model"


def check_audio():
    speech = client().audio.speech.create(model="m", input="Hello", voice="alloy")
    assert speech.content == bytes([0xFF, 0xFB, 0x00, 0x80, 0xC3, 0x28, 0x0A, 0x0D])
    text = client().audio.transcriptions.create(model="m", file=("a.wav", b"RIFF" + bytes(100_000)))
    assert text.text == "Hello.", text


def check_files():
    # A file belongs to one Provider, which no model names here: the path does.
    sdk = openai.OpenAI(base_url=f"{BASE_URL}/p/v1", api_key=KEY)
    made = sdk.files.create(file=("f.txt", b"Hello"), purpose="assistants")
    assert sdk.files.retrieve(made.id).id == made.id
    assert sdk.files.content(made.id).content == bytes([0, 159, 146, 150])
    assert sdk.files.delete(made.id).deleted


def check_errors():
    chat = client(max_retries=0).chat.completions
    error = raises(openai.NotFoundError, lambda: chat.create(model="nothing", messages=MESSAGES))
    assert error.code == "model_not_found", error
    assert error.request_id, error
    error = raises(openai.BadRequestError, lambda: chat.create(model="m", messages=MESSAGES, user="bad-value"))
    assert (error.code, error.param) == ("invalid_value", "user"), error
    assert "user is not right" in error.message, error
    stranger = openai.OpenAI(base_url=f"{BASE_URL}/v1", api_key="not-a-key-0123456789", max_retries=0)
    error = raises(openai.AuthenticationError, lambda: stranger.chat.completions.create(model="m", messages=MESSAGES))
    assert error.code == "invalid_api_key", error
    error = raises(openai.RateLimitError, lambda: chat.create(model="limited", messages=MESSAGES, user="all-day"))
    assert int(error.response.headers["retry-after"]) > 1, error.response.headers
    raises(openai.InternalServerError, lambda: chat.create(model="broken", messages=MESSAGES))


def check_error_in_a_stream():
    stream = client(max_retries=0).chat.completions.create(model="m", messages=MESSAGES, user="cut", stream=True)
    seen = []

    def read():
        for chunk in stream:
            seen.append(chunk.choices[0].delta.content or "")

    error = raises(openai.APIError, read)
    assert "".join(seen) == "Hel", seen
    assert error.message, error


def check_own_retries():
    # The only credential is refused once with `retry-after: 1`; the SDK obeys what the gateway tells it.
    raw = client(max_retries=2).chat.completions.with_raw_response.create(
        model="recovering", messages=MESSAGES, user="once-python"
    )
    assert raw.retries_taken >= 1, raw.retries_taken
    assert raw.parse().choices[0].message.content == "Hello there."


def check_own_retries_of_failures():
    # The upstream fails for longer than one call is tried; the SDK calls again.
    raw = client(max_retries=3).chat.completions.with_raw_response.create(
        model="failing", messages=MESSAGES, user="fails-python"
    )
    assert raw.retries_taken >= 1, raw.retries_taken
    assert raw.parse().choices[0].message.content == "Hello there."


def check_azure():
    sdk = openai.AzureOpenAI(azure_endpoint=BASE_URL, api_key=KEY, api_version="2024-10-21")
    answer = sdk.chat.completions.create(model="m", messages=MESSAGES)
    assert answer.choices[0].message.content == "Hello there."
    stream = sdk.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    text = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert "".join(text) == "Hello there."
    vector = sdk.embeddings.create(model="m", input="a").data[0].embedding
    assert vector == [0.5, -1.0], vector
    # What belongs to no deployment.
    assert sdk.responses.create(model="m", input="Hello").output_text == "Hello there."
    assert "m" in [model.id for model in sdk.models.list()]
    error = raises(
        openai.NotFoundError, lambda: sdk.chat.completions.create(model="nothing", messages=MESSAGES)
    )
    assert error.code == "model_not_found", error


if __name__ == "__main__":
    run(sys.modules[__name__])
