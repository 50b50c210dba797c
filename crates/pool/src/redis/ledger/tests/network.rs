//! A way to the server on which messages meet what they meet on real ones.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ::redis::{Client, Cmd, Connection, FromRedisValue, Value};
use snapshot::Timestamp;

use crate::{
    redis::{
        ledger::{
            Away, Scripts,
            script::{FLUSH, SERVER_CLOCK},
        },
        link::Script,
        testing::Server,
    },
    usage::Tally,
};

/// What a process counted, or what a store has of it: by day and field.
pub(super) type Numbers = BTreeMap<(String, String), Tally>;

/// The server, the time, and what every process that ever was has told it.
#[derive(Clone)]
pub(super) struct Network(Arc<Mutex<Inside>>);

/// The way of one process.
#[derive(Clone)]
pub(super) struct Wire {
    network: Network,
    process: usize,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Arrives,
    /// It never leaves.
    Unsent,
    /// Its answer is lost.
    Unanswered,
    /// The same, and it arrives once more at some later time.
    Doubled,
    /// The sender gives up on it, and it arrives at some later time.
    Late,
    /// Its sender is dropped while it waits for the answer, whether or not the message arrives.
    Abandoned {
        arrives: bool,
    },
}

struct Inside {
    connection: Connection,
    micros: u64,
    fates: BTreeMap<usize, VecDeque<Fate>>,
    late: Vec<Message>,
    /// A message that arrives after so many others.
    ambush: Option<(usize, Message)>,
    /// What each process counted, by itself.
    counted: BTreeMap<usize, Numbers>,
    /// What each process counted when it sent what the store has of it.
    told: BTreeMap<usize, Numbers>,
}

#[derive(Clone)]
struct Message {
    process: usize,
    script: &'static Script,
    keys: Vec<Vec<u8>>,
    args: Vec<Vec<u8>>,
    counted: Numbers,
}

/// The argument of the flush script that is the day, and the first that is a field.
const DAY: usize = 7;
const FIELDS: usize = 10;

impl Network {
    pub(super) fn new(server: &Server, now: Timestamp) -> Self {
        let client = Client::open(server.url()).expect("the address is valid");
        let connection = client.get_connection().expect("the server listens");
        Self(Arc::new(Mutex::new(Inside {
            connection,
            micros: now.as_micros(),
            fates: BTreeMap::new(),
            late: Vec::new(),
            ambush: None,
            counted: BTreeMap::new(),
            told: BTreeMap::new(),
        })))
    }

    pub(super) fn wire(&self, process: usize) -> Wire {
        Wire {
            network: self.clone(),
            process,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.inside().micros)
    }

    pub(super) fn wait_millis(&self, millis: u64) {
        self.inside().micros += millis * 1000;
    }

    /// What the next messages of a process meet; those after them arrive.
    pub(super) fn doom(&self, process: usize, fates: &[Fate]) {
        self.inside()
            .fates
            .insert(process, fates.iter().copied().collect());
    }

    /// Lets a late message arrive.
    pub(super) fn arrive(&self, which: usize) {
        let mut inside = self.inside();
        if !inside.late.is_empty() {
            let which = which % inside.late.len();
            let message = inside.late.remove(which);
            inside.deliver(&message);
        }
    }

    /// Lets the first late message arrive after so many others.
    pub(super) fn arrive_after(&self, others: usize) {
        let mut inside = self.inside();
        let message = inside.late.remove(0);
        inside.ambush = Some((others, message));
    }

    /// Whether that one has yet to arrive.
    pub(super) fn is_ambushed(&self) -> bool {
        self.inside().ambush.is_some()
    }

    pub(super) fn late(&self) -> usize {
        self.inside().late.len()
    }

    /// Notes a change of what a process counted.
    pub(super) fn count(&self, process: usize, day: &str, field: &str, change: impl FnOnce(&mut Tally)) {
        let mut inside = self.inside();
        let numbers = inside.counted.entry(process).or_default();
        change(numbers.entry((day.to_owned(), field.to_owned())).or_default());
    }

    pub(super) fn counted(&self, process: usize) -> Numbers {
        self.inside().counted.get(&process).cloned().unwrap_or_default()
    }

    /// What the store has of all processes, by process.
    pub(super) fn told(&self) -> BTreeMap<usize, Numbers> {
        self.inside().told.clone()
    }

    /// Empties the store. Processes remember these days.
    pub(super) fn flush_all(&self, remembered: &BTreeMap<usize, Vec<String>>) {
        let mut inside = self.inside();
        inside.query::<()>(&::redis::cmd("FLUSHALL"));
        inside.micros += 1000;
        inside.told.clear();
        for (process, numbers) in &mut inside.counted {
            let days = remembered.get(process);
            numbers.retain(|(day, _), _| days.is_some_and(|days| days.contains(day)));
        }
    }

    pub(super) fn query<T: FromRedisValue>(&self, command: &Cmd) -> T {
        self.inside().query(command)
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> T {
        command.query(&mut self.connection).expect("the server answers")
    }

    fn deliver(&mut self, message: &Message) -> Value {
        let clock = (self.micros / 1000).to_string();
        assert_eq!(message.args[0], SERVER_CLOCK.as_bytes());
        let mut command = ::redis::cmd("EVAL");
        command.arg(message.script.source()).arg(message.keys.len());
        command.arg(&message.keys).arg(clock).arg(&message.args[1..]);
        let answer: Value = self.query(&command);
        if message.script.name() == FLUSH.name() && status(&answer) == b"applied" {
            let told = self.told.entry(message.process).or_default();
            let day = text(&message.args[DAY]);
            for pair in message.args[FIELDS..].chunks(2) {
                let key = (day.clone(), text(&pair[0]));
                told.insert(key.clone(), message.counted[&key]);
            }
        }
        answer
    }
}

impl Scripts for Wire {
    async fn run(&self, script: &'static Script, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Result<Value, Away> {
        let fate = {
            let mut inside = self.network.inside();
            let fates = inside.fates.entry(self.process).or_default();
            let fate = fates.pop_front().unwrap_or(Fate::Arrives);
            let message = Message {
                process: self.process,
                script,
                keys: keys.to_vec(),
                args: args.to_vec(),
                counted: inside.counted.get(&self.process).cloned().unwrap_or_default(),
            };
            match inside.ambush.take() {
                Some((0, ambush)) => {
                    inside.deliver(&ambush);
                }
                Some((others, ambush)) => inside.ambush = Some((others - 1, ambush)),
                None => {}
            }
            match fate {
                Fate::Unsent => return Err(Away::NotSent),
                Fate::Arrives => return Ok(inside.deliver(&message)),
                Fate::Unanswered | Fate::Abandoned { arrives: true } => {
                    inside.deliver(&message);
                }
                Fate::Abandoned { arrives: false } => {}
                Fate::Doubled => {
                    inside.deliver(&message);
                    inside.late.push(message);
                }
                Fate::Late => inside.late.push(message),
            }
            fate
        };
        if matches!(fate, Fate::Abandoned { .. }) {
            std::future::pending::<()>().await;
        }
        Err(Away::Unknown)
    }
}

fn status(answer: &Value) -> &[u8] {
    match answer {
        Value::Array(parts) => match parts.first() {
            Some(Value::BulkString(status)) => status,
            _ => b"",
        },
        _ => b"",
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("names are text")
}
