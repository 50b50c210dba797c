//! One of the two stores under the steps.

use std::time::Duration;

use snapshot::{CredentialName, SecretVersion, Timestamp};

use super::{
    setting::{MODELS, Setting},
    step::{Step, Wanted},
};
use crate::{
    Blame, ClientState, CredentialState, Denied, ObjectId, Pick, Picked, Reserves, Rest, RestEnd, RestReason,
    Shortage, Store,
    testing::{credential, provider_name},
};

/// A store, seen through one or more processes, and what these hold.
pub(super) struct Side<S: Store> {
    stores: Vec<S>,
    holds: Vec<(usize, S::Hold)>,
    seats: Vec<(usize, S::Seat)>,
    /// The process that took the last step.
    acted: usize,
    /// Long waits so far. Secrets get new versions with each: the memory store forgets the last version of a
    /// credential that nobody uses for a day.
    pub(super) long_waits: u32,
}

/// What a step led to.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Picked { credential: CredentialName, probe: bool },
    Short(Shortage),
    Denied(Denied),
    Blame(Blame),
    Recalled(Option<CredentialName>),
    Nothing,
}

/// All that can be seen.
#[derive(Debug, PartialEq)]
pub(super) struct Seen {
    credentials: Vec<CredentialState>,
    callers: Vec<ClientState>,
}

impl<S: Store> Side<S> {
    pub(super) fn new(stores: Vec<S>) -> Self {
        Self {
            stores,
            holds: Vec::new(),
            seats: Vec::new(),
            acted: 0,
            long_waits: 0,
        }
    }

    pub(super) async fn take(&mut self, setting: &Setting, now: Timestamp, step: &Step) -> Answer {
        let (by, provider) = (self.by(step), provider_name());
        self.acted = by;
        let store = &self.stores[by];
        match step {
            Step::Pick { caller, wanted, .. } => {
                return self.pick(setting, now, by, *caller, wanted).await;
            }
            Step::Nobody => {
                let (lanes, nobody) = (setting.lanes.concat(), credential("nobody"));
                let pick = Pick {
                    client: &setting.callers[0].name,
                    provider: &setting.provider,
                    model: MODELS[0],
                    lanes: &lanes,
                    tried: &[],
                    pinned: Some(&nobody),
                    object: None,
                    affinity: None,
                };
                let picked = store.pick(now, &pick, Reserves::default(), Duration::ZERO).await;
                return self.picked(by, picked);
            }
            Step::Settle { which, settled } => {
                if let Some((by, hold)) = take(&mut self.holds, *which) {
                    self.acted = by;
                    return Answer::Blame(self.stores[by].settle(now, hold, settled));
                }
            }
            Step::Leave { which, tokens } => {
                if let Some((by, seat)) = take(&mut self.seats, *which) {
                    self.acted = by;
                    self.stores[by].leave(now, seat, *tokens);
                }
            }
            Step::Commit(which) => {
                let count = self.holds.len().max(1);
                if let Some((by, hold)) = self.holds.get_mut(which % count) {
                    self.acted = *by;
                    self.stores[*by].commit(now, hold);
                }
            }
            Step::Report {
                credential,
                model,
                rest,
                ..
            } => {
                let model = model.map(|model| MODELS[model]);
                if setting.stores > 1 && model.is_none() && ends_with_a_period(*rest) {
                    return Answer::Nothing;
                }
                store.report(now, &provider, setting.credential(*credential), model, *rest);
            }
            Step::Clear(_, who) => store.clear_rest(now, &provider, setting.credential(*who)),
            Step::ResetQuota(_, who) => store.reset_quota(now, &provider, setting.credential(*who)),
            Step::ResetBudgets(_, who) => store.reset_budgets(now, &setting.callers[*who].name),
            Step::SecretChanged(_, who, version) => {
                let version = SecretVersion(format!("{}.{version}", self.long_waits).into());
                store.secret_changed(now, &provider, setting.credential(*who), &version);
            }
            Step::Remember(_, object) => {
                let credential = setting.credential(usize::from(*object));
                store.remember(now, &provider, ObjectId(u128::from(*object)), credential);
                store.heard().await;
            }
            Step::Recall(_, object) => {
                let recalled = store.recall(now, ObjectId(u128::from(*object))).await;
                return Answer::Recalled(recalled.expect("the store is in reach"));
            }
            Step::Wait(_) => {}
        }
        Answer::Nothing
    }

    /// Everything, as the process sees it that took the last step.
    pub(super) async fn state(&self, setting: &Setting, now: Timestamp) -> Seen {
        let store = &self.stores[self.acted];
        let mut credentials = store.look_up(now, &provider_name(), &setting.members).await;
        for credential in &mut credentials {
            credential.rests.sort_by(|a, b| a.model.cmp(&b.model));
        }
        let asked: Vec<_> = setting
            .callers
            .iter()
            // Calls of callers without limits are known to their process alone.
            .filter(|caller| !caller.is_unlimited() || setting.stores == 1)
            .map(|caller| (&caller.name, caller.budgets.as_slice()))
            .collect();
        Seen {
            credentials,
            callers: store.look_up_clients(now, &asked).await,
        }
    }

    /// The process that takes a step.
    fn by(&self, step: &Step) -> usize {
        let by = match step {
            Step::Pick { by, .. }
            | Step::Report { by, .. }
            | Step::Clear(by, _)
            | Step::ResetQuota(by, _)
            | Step::ResetBudgets(by, _)
            | Step::SecretChanged(by, ..)
            | Step::Remember(by, _)
            | Step::Recall(by, _) => *by,
            Step::Settle { .. } | Step::Leave { .. } | Step::Commit(_) | Step::Wait(_) | Step::Nobody => 0,
        };
        by % self.stores.len()
    }

    async fn pick(
        &mut self,
        setting: &Setting,
        now: Timestamp,
        by: usize,
        caller: Option<usize>,
        wanted: &Wanted,
    ) -> Answer {
        let tried: Vec<_> = wanted
            .tried
            .iter()
            .map(|who| setting.credential(*who).clone())
            .collect();
        let pick = Pick {
            client: &setting.callers[0].name,
            provider: &setting.provider,
            model: MODELS[wanted.model],
            lanes: &setting.lanes[wanted.model],
            tried: &tried,
            pinned: wanted.pinned.map(|who| setting.credential(who)),
            object: wanted.object.map(|object| ObjectId(u128::from(object))),
            affinity: wanted.affinity,
        };
        let reserves = Reserves {
            call: wanted.call_tokens,
            attempt: wanted.attempt_tokens,
        };
        let store = &self.stores[by];
        let Some(caller) = caller else {
            let picked = store.pick(now, &pick, reserves, wanted.patience).await;
            return self.picked(by, picked);
        };
        let admit = setting.admit(caller);
        match store.enter(now, &admit, &pick, reserves, wanted.patience).await {
            Ok((seat, picked)) => {
                self.seats.push((by, seat));
                self.picked(by, picked)
            }
            Err(denied) => Answer::Denied(denied),
        }
    }

    fn picked(&mut self, by: usize, picked: Result<Picked<S::Hold>, Shortage>) -> Answer {
        match picked {
            Ok(picked) => {
                self.holds.push((by, picked.hold));
                Answer::Picked {
                    credential: picked.credential,
                    probe: picked.probe,
                }
            }
            Err(shortage) => Answer::Short(shortage),
        }
    }
}

/// Whether the end depends on the windows, which not every process has heard of.
fn ends_with_a_period(rest: Rest) -> bool {
    rest.reason == RestReason::QuotaExhausted && rest.end == RestEnd::Guessed
}

fn take<T>(held: &mut Vec<T>, which: usize) -> Option<T> {
    (!held.is_empty()).then(|| held.swap_remove(which % held.len()))
}
