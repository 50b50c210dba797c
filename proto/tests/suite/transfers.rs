//! All objects in chunks.

use std::sync::Arc;

use proptest::{prelude::*, sample::Index};
use prost::Message;
use proto::{
    Assembler, Contents, Follower, Refused, TRANSFER_LIMIT, chunks,
    discovery::v1::{SnapshotBegin, SnapshotEnd, StreamResponse, stream_response::Message as Response},
};
use snapshot::{Keyring, Secret, Snapshot};

use crate::any;

/// What can happen to one message of a transfer.
#[derive(Clone, Debug)]
enum Damage {
    Missing(Index),
    Repeated(Index),
    Swapped(Index, Index),
    LacksObject(Index, Index),
    RepeatsObject(Index, Index),
    OtherName(Index, Index),
    OtherVersion(Index, Index),
    OtherSnapshot,
    OtherDigest(bool, Index),
    Cut(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<Index>;
    let two = || (index(), index());
    prop_oneof![
        index().prop_map(Damage::Missing),
        index().prop_map(Damage::Repeated),
        two().prop_map(|(a, b)| Damage::Swapped(a, b)),
        two().prop_map(|(a, b)| Damage::LacksObject(a, b)),
        two().prop_map(|(a, b)| Damage::RepeatsObject(a, b)),
        two().prop_map(|(a, b)| Damage::OtherName(a, b)),
        two().prop_map(|(a, b)| Damage::OtherVersion(a, b)),
        Just(Damage::OtherSnapshot),
        (any::<bool>(), index()).prop_map(|(begin, at)| Damage::OtherDigest(begin, at)),
        index().prop_map(Damage::Cut),
    ]
}

fn begin(message: &mut StreamResponse) -> &mut SnapshotBegin {
    match &mut message.message {
        Some(Response::Begin(begin)) => begin,
        _ => panic!("expected the begin"),
    }
}

fn end(message: &mut StreamResponse) -> &mut SnapshotEnd {
    match &mut message.message {
        Some(Response::End(end)) => end,
        _ => panic!("expected the end"),
    }
}

/// Damages a transfer. `None`: it is as good as before.
fn damaged(mut messages: Vec<StreamResponse>, damage: &Damage) -> Option<Vec<StreamResponse>> {
    use proto::discovery::v1::object::Object;
    let last = messages.len() - 1;
    // Between the begin and the end there is always a chunk: that of the digest key.
    let chunk = |at: &Index| 1 + at.index(last - 1);
    let objects =
        |message: &mut StreamResponse, change: &mut dyn FnMut(&mut Vec<_>)| match &mut message.message {
            Some(Response::Chunk(chunk)) => change(&mut chunk.objects),
            _ => panic!("expected a chunk"),
        };
    match damage {
        Damage::Missing(at) => {
            messages.remove(at.index(last + 1));
        }
        Damage::Repeated(at) => messages.insert(chunk(at), messages[chunk(at)].clone()),
        Damage::Swapped(a, b) => {
            let (a, b) = (a.index(last + 1), b.index(last + 1));
            if a == b {
                return None;
            }
            messages.swap(a, b);
        }
        Damage::LacksObject(at, which) => objects(&mut messages[chunk(at)], &mut |objects| {
            objects.remove(which.index(objects.len()));
        }),
        Damage::RepeatsObject(at, which) => objects(&mut messages[chunk(at)], &mut |objects| {
            objects.push(objects[which.index(objects.len())].clone());
        }),
        Damage::OtherName(at, which) => {
            let mut is_changed = true;
            objects(&mut messages[chunk(at)], &mut |objects| {
                let which = which.index(objects.len());
                match objects[which].object.as_mut().unwrap() {
                    Object::Provider(it) => it.name.push('2'),
                    Object::Credential(it) => it.name.push('2'),
                    Object::Route(it) => it.name.push('2'),
                    Object::Client(it) => it.name.push('2'),
                    Object::CredentialSecret(it) => it.credential.push('2'),
                    Object::HeaderSecret(it) => it.header.push('2'),
                    Object::DigestKey(_) => is_changed = false,
                }
            });
            if !is_changed {
                return None;
            }
        }
        Damage::OtherVersion(at, which) => objects(&mut messages[chunk(at)], &mut |objects| {
            let which = which.index(objects.len());
            objects[which].version.push('2');
        }),
        Damage::OtherSnapshot => begin(&mut messages[0]).version.push('2'),
        Damage::OtherDigest(true, at) => {
            let digest = &mut begin(&mut messages[0]).digest;
            let at = at.index(digest.len());
            digest[at] ^= 1;
        }
        Damage::OtherDigest(false, at) => {
            let digest = &mut end(&mut messages[last]).digest;
            let at = at.index(digest.len());
            digest[at] ^= 1;
        }
        Damage::Cut(at) => messages.truncate(at.index(last + 1)),
    }
    Some(messages)
}

/// What a gateway comes to serve, and how often it refused.
fn followed(messages: impl IntoIterator<Item = StreamResponse>) -> (Option<Contents>, usize) {
    let mut follower = Follower::new(None);
    let mut refusals = 0;
    for message in messages {
        refusals += usize::from(follower.accept(message).is_err());
    }
    (follower.contents().cloned(), refusals)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn chunks_of_any_size_make_the_whole(contents in any::contents(), limit in 0..3000usize) {
        let messages: Vec<_> = chunks(&contents, limit).collect();
        for message in &messages {
            if let Some(Response::Chunk(chunk)) = &message.message {
                prop_assert!(message.encoded_len() <= limit || chunk.objects.len() == 1);
                prop_assert!(!chunk.objects.is_empty());
            }
        }
        prop_assert_eq!(followed(messages), (Some(contents), 0));
    }

    #[test]
    fn a_damaged_transfer_is_never_served(contents in any::contents(), limit in 0..3000usize, damage in damage()) {
        let messages = chunks(&contents, limit).collect();
        if let Some(messages) = damaged(messages, &damage) {
            prop_assert_eq!(followed(messages).0, None);
        }
    }

    #[test]
    fn other_bytes_do_no_harm(contents in any::contents(), at in any::<Index>(), byte in any::<u8>(), which in any::<Index>()) {
        let mut messages: Vec<_> = chunks(&contents, 1000).map(|message| message.encode_to_vec()).collect();
        let message = which.index(messages.len());
        let at = at.index(messages[message].len());
        messages[message][at] = byte;
        let messages = messages.iter().filter_map(|bytes| StreamResponse::decode(&**bytes).ok());
        // Values may have changed, and what is there has not.
        if let Some(served) = followed(messages).0 {
            prop_assert_eq!(served.versions(), contents.versions());
        }
    }
}

fn contents_of(bytes: usize) -> Contents {
    let mut keyring = Keyring::default();
    for index in 0..10 {
        keyring.credentials.insert(
            format!("default/c{index}").parse().unwrap(),
            any::secret(vec![b'k'; bytes / 10]),
        );
    }
    let snapshot = Snapshot {
        version: "v1".to_owned(),
        ..Snapshot::default()
    };
    Contents::new(Arc::new(snapshot), Arc::new(keyring), Secret::new("installation"))
}

#[test]
fn more_than_the_limit_is_refused_when_it_comes() {
    let limit = 10_000;
    let outcome = |bytes| {
        let contents = contents_of(bytes);
        let mut assembler = None;
        for message in chunks(&contents, 2000) {
            match message.message.unwrap() {
                Response::Begin(begin) => assembler = Some(Assembler::new(begin, limit)),
                Response::Chunk(chunk) => assembler = Some(assembler.take().unwrap().push(chunk)?),
                Response::End(end) => return assembler.unwrap().finish(&end),
                Response::Delta(_) | Response::Mark(_) => panic!("not part of a transfer"),
            }
        }
        panic!("the transfer has no end")
    };
    assert_eq!(outcome(8000), Ok(contents_of(8000)));
    assert_eq!(outcome(12_000), Err(Refused::TooLarge { limit }));
}

#[test]
fn a_gateway_takes_large_installations() {
    let contents = contents_of(TRANSFER_LIMIT / 2);
    let (served, refusals) = followed(chunks(&contents, proto::MESSAGE_LIMIT));
    assert_eq!((served.as_ref(), refusals), (Some(&contents), 0));
}

#[test]
fn nothing_is_served_without_the_key_of_the_installation() {
    let contents = contents_of(100);
    let mut messages: Vec<_> = chunks(&contents, 100_000).collect();
    let mut versions = (**contents.versions()).clone();
    versions
        .objects
        .retain(|key, _| key.kind != proto::Kind::DigestKey);
    let digest = versions.digest().to_vec();
    let opening = begin(&mut messages[0]);
    (opening.objects, opening.digest) = (10, digest.clone());
    if let Some(Response::Chunk(chunk)) = &mut messages[1].message {
        chunk.objects.pop();
    }
    end(&mut messages[2]).digest = digest;
    let mut follower = Follower::new(None);
    let refusal = messages
        .into_iter()
        .find_map(|message| follower.accept(message).err())
        .unwrap();
    assert_eq!(refusal.refused, Refused::NoDigestKey);
}
