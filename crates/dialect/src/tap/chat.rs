//! Chunks of chat completions and of the legacy completions.

use super::format::{Format, Progress, Reading, plain_word};
use super::markers::{self, CONTENT};
use crate::json::raw::Raw;
use crate::refusal::is_error;

#[inline]
pub(super) fn read(data: &[u8], progress: &mut Progress) -> Reading {
    if markers::is_plain(data, progress) {
        progress.saw_content();
        return Reading::Plain;
    }
    parse(data, progress)
}

fn parse(data: &[u8], progress: &mut Progress) -> Reading {
    if data.trim_ascii() == b"[DONE]" {
        return Reading::End;
    }
    let Some(chunk) = Raw::object(data) else {
        // What is not a chunk breaks clients; after the last choice nobody misses it.
        return if progress.choices.all_finished() {
            Reading::Ignored
        } else {
            Format::Chat.failed(data)
        };
    };
    let mut has_choices = false;
    let mut has_content = false;
    let mut has_usage = false;
    let mut names_choices = false;
    let mut is_message = false;
    for (name, value) in chunk.members() {
        match name {
            b"choices" => {
                names_choices = true;
                for choice in value.elements() {
                    has_choices = true;
                    has_content |= read_choice(choice, progress);
                }
            }
            b"usage" => has_usage |= progress.saw_usage(value),
            b"error" if is_error(value) => return Format::Chat.failed(data),
            // Older vLLM: `{"object":"error","message":…}`.
            b"object" if plain_word(value) == b"error" => return Format::Chat.failed(data),
            b"message" | b"detail" => is_message = true,
            _ => {}
        }
    }
    if is_message && !names_choices && !has_usage {
        return Format::Chat.failed(data);
    }
    if has_content {
        progress.saw_content();
    }
    if has_usage && !has_choices {
        Reading::UsageOnly
    } else {
        Reading::Plain
    }
}

/// Whether the choice brings content.
fn read_choice(choice: Raw<'_>, progress: &mut Progress) -> bool {
    let mut index = 0;
    let mut has_content = false;
    let mut is_finished = false;
    for (name, value) in choice.members() {
        match name {
            b"index" => index = value.count().unwrap_or(0),
            // Azure leaves the delta out of chunks that only report on filters.
            b"delta" | b"message" => has_content |= read_delta(value, progress),
            b"text" if !value.is_empty() => {
                progress.hint = hint(name);
                has_content = true;
            }
            b"finish_reason" => is_finished = !value.is_empty(),
            // Moonshot reports usage inside the choice that ends.
            b"usage" => {
                progress.saw_usage(value);
            }
            _ => {}
        }
    }
    progress.choices.saw(index);
    if is_finished {
        progress.choices.finish(index);
    }
    has_content
}

/// Whatever a delta holds besides the role is content, if it holds anything: vendors add members of their own
/// for reasoning, images and signatures, and none for decoration.
fn read_delta(delta: Raw<'_>, progress: &mut Progress) -> bool {
    let mut has_content = false;
    for (name, value) in delta.members() {
        if name == b"role" || value.is_empty() {
            continue;
        }
        has_content = true;
        progress.hint = match name {
            b"tool_calls" | b"function_call" => hint(b"arguments"),
            _ => hint(name),
        };
    }
    has_content
}

fn hint(name: &[u8]) -> usize {
    CONTENT.iter().position(|known| *known == name).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAID: [&str; 6] = [
        "null",
        "\"\"",
        "\"word\"",
        "\" \"",
        r#""\"finish_reason\":\"stop\",\"usage\":{\"error\":1}""#,
        "[{\"text\":\"part\"}]",
    ];

    fn choice() -> impl Strategy<Value = String> {
        let pick = |options: &'static [&'static str]| prop::sample::select(options.to_vec());
        (
            pick(&["0", "1", "9", "10"]),
            pick(&[
                "content",
                "reasoning_content",
                "reasoning",
                "refusal",
                "role",
                "new_member",
            ]),
            pick(&SAID),
            pick(&[
                "",
                ",\"content\":\"\"",
                ",\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\"{\"}}]",
            ]),
            pick(&[
                "",
                ",\"finish_reason\":null",
                ",\"finish_reason\":\"stop\"",
                ", \"finish_reason\" : \"length\"",
            ]),
        )
            .prop_map(|(index, name, said, more, finish)| {
                let said = if name == "role" { "\"assistant\"" } else { said };
                format!("{{\"index\":{index},\"delta\":{{\"{name}\":{said}{more}}}{finish}}}")
            })
    }

    fn chunk() -> impl Strategy<Value = String> {
        let pick = |options: &'static [&'static str]| prop::sample::select(options.to_vec());
        let odd = pick(&[
            "",
            "",
            ",\"usage\":null",
            ",\"usage\":{\"prompt_tokens\":3}",
            ", \"usage\" : {\"prompt_tokens\":3}",
            ",\"error\":{\"message\":\"no\"}",
            ",\"error\":null",
            ",\"obfuscation\":\"content\"",
            ",\"kind\":\"usage\"",
        ]);
        (prop::collection::vec(choice(), 0..3), odd.clone(), odd).prop_map(|(choices, before, after)| {
            format!(
                "{{\"id\":\"x\"{before},\"choices\":[{}]{after}}}",
                choices.join(",")
            )
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_chunk_that_looks_plain_is_plain(chunk in chunk(), hint in 0..CONTENT.len(), seen in 0u64..2) {
            let mut progress = Progress { hint, ..Progress::default() };
            progress.choices.saw(0);
            progress.choices.saw(seen);
            let before = format!("{:?}", progress.choices);
            if markers::is_plain(chunk.as_bytes(), &progress) {
                let reading = parse(chunk.as_bytes(), &mut progress);
                prop_assert!(matches!(reading, Reading::Plain), "{chunk}");
                prop_assert_eq!((progress.output_frames, progress.counts), (1, None), "{}", chunk);
                prop_assert_eq!(format!("{:?}", progress.choices), before, "{}", chunk);
            }
        }
    }

    #[test]
    fn the_usual_chunk_looks_plain() {
        let mut progress = Progress::default();
        progress.choices.saw(0);
        for (hint, delta) in [
            (0, "\"content\": \"a\""),
            (1, "\"content\":null,\"reasoning_content\":\"a\""),
        ] {
            progress.hint = hint;
            let chunk = format!(
                "{{\"choices\":[{{\"index\":0,\"delta\":{{{delta}}},\"logprobs\":null,\"finish_reason\":null}}],\"usage\":null}}"
            );
            assert!(markers::is_plain(chunk.as_bytes(), &progress), "{chunk}");
        }
    }
}
