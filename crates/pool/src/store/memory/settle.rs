//! The end of attempts and calls, and what it teaches.

use std::time::Duration;

use snapshot::{ClientName, CredentialName, ProviderName, RestReason, RestScope, SecretVersion, Timestamp};

use super::{
    account::Probes,
    admit::Seat,
    choose::Hold,
    state::{Refusal, State},
};
use crate::{Blame, Outcome, Rest, RestEnd, Settled, rest::Undo};

/// Refusals within this time are seen together.
pub(super) const REFUSAL_WINDOW: Duration = Duration::from_secs(60);
/// Fewer refused credentials say nothing about their Provider.
const REFUSED_AT_LEAST: usize = 3;

impl State {
    pub(super) fn commit(&mut self, now: Timestamp, hold: &mut Hold) {
        let sequence = self.next_sequence();
        self.succeeded(now, hold, sequence);
        hold.probes = Probes::default();
        hold.probes_endpoint = false;
        // What it meets from here on is newer than what it has just cleared.
        hold.sequence = sequence;
    }

    pub(super) fn settle(&mut self, now: Timestamp, hold: &Hold, settled: &Settled) -> Blame {
        self.give_back(now, hold, settled);
        let sequence = self.next_sequence();
        let mut blame = Blame::AsSettled;
        match settled.outcome {
            Outcome::Succeeded => {
                // A success may say that it was the last for now; clearing first would make that old news.
                self.rest(now, hold, sequence, settled.rest);
                self.succeeded(now, hold, sequence);
            }
            Outcome::CredentialFault => blame = self.refused(now, hold, sequence, settled.rest),
            Outcome::CallerFault => {
                self.upstreams[hold.upstream]
                    .circuit
                    .answered(hold.sequence, sequence);
                self.rest(now, hold, sequence, settled.rest);
            }
            Outcome::UpstreamFault => {
                let upstream = &mut self.upstreams[hold.upstream];
                upstream
                    .circuit
                    .failed(hold.sequence, sequence, now, &hold.breaker);
                self.rest(now, hold, sequence, settled.rest);
            }
            Outcome::Cancelled => {
                if hold.probes_endpoint {
                    let upstream = &mut self.upstreams[hold.upstream];
                    upstream.circuit.undecided(hold.sequence, now);
                }
                self.rest(now, hold, sequence, settled.rest);
            }
        }
        self.end_probes(now, hold);
        self.released(hold.credential, now);
        blame
    }

    pub(super) fn leave(&mut self, now: Timestamp, seat: &Seat, tokens: Option<u64>) {
        let client = &mut self.clients[seat.client];
        client.held = client.held.saturating_sub(1);
        client.used_at = now;
        client.usage.give_back(seat.reserved);
        if let Some(tokens) = tokens {
            client.usage.add_tokens(tokens, seat.counts_tokens, now);
        }
    }

    pub(super) fn report(
        &mut self,
        now: Timestamp,
        provider: &ProviderName,
        credential: &CredentialName,
        model: Option<&str>,
        rest: Rest,
    ) {
        let number = self.credential(credential, now);
        let sequence = self.next_sequence();
        let account = &mut self.credentials[number];
        account.used_at = now;
        account.provider.get_or_insert_with(|| provider.clone());
        if account.refuse(model, sequence, sequence, now, rest).is_some() {
            self.unpark(number, now);
        }
    }

    pub(super) fn clear_rest(&mut self, now: Timestamp, credential: &CredentialName) {
        if let Some(number) = self.credentials.number(credential) {
            let sequence = self.next_sequence();
            self.credentials[number].clear(sequence);
            self.unpark(number, now);
        }
    }

    pub(super) fn reset_quota(&mut self, now: Timestamp, credential: &CredentialName) {
        if let Some(number) = self.credentials.number(credential) {
            self.credentials[number].reset_quota();
            self.follow_leads(number, now);
            self.unpark(number, now);
        }
    }

    pub(super) fn reset_budgets(&mut self, client: &ClientName) {
        if let Some(number) = self.clients.number(client) {
            self.clients[number].usage.quota.reset();
        }
    }

    pub(super) fn secret_changed(
        &mut self,
        now: Timestamp,
        credential: &CredentialName,
        version: &SecretVersion,
    ) {
        // Also one that is not known: the next to hear of this version must find that it is no news.
        let number = self.credential(credential, now);
        let sequence = self.next_sequence();
        if self.credentials[number].secret_changed(version, sequence) {
            self.unpark(number, now);
        }
    }

    fn give_back(&mut self, now: Timestamp, hold: &Hold, settled: &Settled) {
        let upstream = &mut self.upstreams[hold.upstream];
        upstream.in_flight = upstream.in_flight.saturating_sub(1);
        let account = &mut self.credentials[hold.credential];
        account.usage.give_back(hold.reserved);
        if let Some(usage) = settled.usage {
            account.usage.add_tokens(usage.total(), hold.counts_tokens, now);
        }
        if let Some(headroom) = settled.headroom {
            account.observe(headroom, now);
        }
    }

    fn succeeded(&mut self, now: Timestamp, hold: &Hold, sequence: u64) {
        let upstream = &mut self.upstreams[hold.upstream];
        upstream.circuit.answered(hold.sequence, sequence);
        upstream.rejects_all = upstream.rejects_all.filter(|since| *since > hold.sequence);
        upstream
            .refusals
            .retain(|refusal| refusal.credential != hold.credential);
        let account = &mut self.credentials[hold.credential];
        let mut opened = account.whole.succeed(hold.sequence, sequence, now);
        if let Some(scope) = account.known_model(hold.lane.model()) {
            opened |= scope.succeed(hold.sequence, sequence, now);
        }
        if opened {
            self.unpark(hold.credential, now);
        }
    }

    /// Frees the places of probes, whatever they found.
    fn end_probes(&mut self, now: Timestamp, hold: &Hold) {
        if hold.probes == Probes::default() {
            return;
        }
        let account = &mut self.credentials[hold.credential];
        account.whole.undecided(hold.sequence);
        if let Some(scope) = account.known_model(hold.lane.model()) {
            scope.undecided(hold.sequence);
        }
        self.unpark(hold.credential, now);
    }

    fn refused(
        &mut self,
        now: Timestamp,
        hold: &Hold,
        sequence: u64,
        rest: Option<(RestScope, Rest)>,
    ) -> Blame {
        let upstream = &mut self.upstreams[hold.upstream];
        if !rest.is_some_and(|(scope, rest)| speaks_of_provider(scope, rest)) {
            upstream.circuit.answered(hold.sequence, sequence);
            self.rest(now, hold, sequence, rest);
            return Blame::AsSettled;
        }
        upstream
            .refusals
            .retain(|refusal| refusal.at + REFUSAL_WINDOW > now && refusal.credential != hold.credential);
        let refused = upstream.refusals.len() + 1;
        if refused >= REFUSED_AT_LEAST && refused * 2 >= upstream.credentials as usize {
            upstream.rejects_all.get_or_insert(sequence);
        }
        if upstream.rejects_all.is_some() {
            upstream.circuit.open(sequence, now, hold.breaker.open_for);
            for refusal in std::mem::take(&mut upstream.refusals) {
                self.take_back(now, &refusal);
            }
            return Blame::Provider;
        }
        upstream.circuit.answered(hold.sequence, sequence);
        let undo = self.rest(now, hold, sequence, rest);
        self.upstreams[hold.upstream].refusals.push(Refusal {
            credential: hold.credential,
            at: now,
            undo,
        });
        Blame::AsSettled
    }

    /// Merges in a rest, and gives what it replaced, if anything.
    fn rest(
        &mut self,
        now: Timestamp,
        hold: &Hold,
        sequence: u64,
        rest: Option<(RestScope, Rest)>,
    ) -> Option<Undo> {
        let (scope, rest) = rest?;
        let account = &mut self.credentials[hold.credential];
        let model = match scope {
            RestScope::Credential => None,
            RestScope::CredentialAndModel => Some(hold.lane.model()),
        };
        let undo = account.refuse(model, hold.sequence, sequence, now, rest);
        if undo.is_some() {
            // It may be parked until the end of a probe, which is later than the end of this rest.
            self.unpark(hold.credential, now);
        }
        undo
    }

    /// Takes back what a refusal put to rest: the whole credential, see [`speaks_of_provider`].
    fn take_back(&mut self, now: Timestamp, refusal: &Refusal) {
        let whole = &mut self.credentials[refusal.credential].whole;
        if refusal.undo.as_ref().is_some_and(|undo| whole.withdraw(undo)) {
            self.unpark(refusal.credential, now);
        }
    }
}

/// Whether a refusal, met on many credentials, speaks of their Provider. Quotas and rate limits run out
/// on each account alone, and a model may be closed to all of them.
fn speaks_of_provider(scope: RestScope, rest: Rest) -> bool {
    let about_key = match rest.reason {
        RestReason::Unauthorized | RestReason::AccountBlocked | RestReason::Failing => true,
        RestReason::RateLimited | RestReason::QuotaExhausted | RestReason::ModelUnavailable => false,
    };
    scope == RestScope::Credential && about_key && rest.end == RestEnd::Guessed
}
