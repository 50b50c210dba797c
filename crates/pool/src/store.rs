//! Where the pool's state lives.

mod any;
pub(crate) mod memory;

use std::{future::Future, time::Duration};

use snapshot::{ClientName, CredentialName, ProviderName, QuotaWindow, SecretVersion, Timestamp};

use crate::{
    Admit, Blame, BreakerState, ClientState, CredentialState, Denied, Holder, Member, NoneUsable, ObjectId,
    Pick, Reserves, Rest, Settled, StoreAway,
};
pub use any::{AnyStore, Either};
pub use memory::Memory;

/// Keeps the state and takes each step as one indivisible move (one script in a shared store).
///
/// Operations that return a future need the store's answer. All others are begun at once, in order, and
/// never awaited; what they return is known in this process. `now` is the process's time: a store that is
/// shared uses its own.
pub trait Store: Send + Sync + 'static {
    /// What must be given back at the end of a lease.
    type Hold: Send + Sync;
    /// What must be given back at the end of an admission.
    type Seat: Send + Sync;

    /// How often a call that waits for a full credential looks again, because another process may have
    /// given one back; `None` when only this process can.
    fn looks_every(&self) -> Option<Duration>;

    /// Lets a caller in and picks for it. The pick is not made when the caller is denied.
    #[expect(clippy::type_complexity, reason = "both answers of one trip")]
    fn enter(
        &self,
        now: Timestamp,
        admit: &Admit<'_>,
        pick: &Pick<'_>,
        reserves: Reserves,
        patience: Duration,
    ) -> impl Future<Output = Result<(Self::Seat, Result<Picked<Self::Hold>, Shortage>), Denied>> + Send;

    /// Lets a caller in.
    fn admit(
        &self,
        now: Timestamp,
        admit: &Admit<'_>,
        reserves: Reserves,
    ) -> impl Future<Output = Result<Self::Seat, Denied>> + Send;

    /// Picks a credential. `patience` is how much longer the caller would wait for the credential that it
    /// is used to, should that one be full.
    fn pick(
        &self,
        now: Timestamp,
        pick: &Pick<'_>,
        reserves: Reserves,
        patience: Duration,
    ) -> impl Future<Output = Result<Picked<Self::Hold>, Shortage>> + Send;

    /// The attempt has delivered content: probes have succeeded.
    fn commit(&self, now: Timestamp, hold: &mut Self::Hold);

    /// Gives a lease back with its outcome.
    fn settle(&self, now: Timestamp, hold: Self::Hold, settled: &Settled) -> Blame;

    /// Gives an admission back; `None` tokens when the call was cancelled.
    fn leave(&self, now: Timestamp, seat: Self::Seat, tokens: Option<u64>);

    /// Rests a credential outside a lease.
    fn report(
        &self,
        now: Timestamp,
        provider: &ProviderName,
        credential: &CredentialName,
        model: Option<&str>,
        rest: Rest,
    );

    /// Ends all rests of a credential.
    fn clear_rest(&self, now: Timestamp, provider: &ProviderName, credential: &CredentialName);

    /// Begins the quota windows of a credential anew, and ends its rests for lack of quota.
    fn reset_quota(&self, now: Timestamp, provider: &ProviderName, credential: &CredentialName);

    /// Begins the budgets of a caller anew.
    fn reset_budgets(&self, now: Timestamp, client: &ClientName);

    /// Ends the rests of a credential that came from its former secret. Nothing happens when the store
    /// has heard of this version.
    fn secret_changed(
        &self,
        now: Timestamp,
        provider: &ProviderName,
        credential: &CredentialName,
        version: &SecretVersion,
    );

    /// Remembers which credential of a Provider holds an object.
    fn remember(
        &self,
        now: Timestamp,
        provider: &ProviderName,
        object: ObjectId,
        credential: &CredentialName,
    );

    /// What this process knows of who holds an object.
    fn holder(&self, now: Timestamp, object: ObjectId) -> Holder;

    /// The credential that holds an object.
    fn recall(
        &self,
        now: Timestamp,
        object: ObjectId,
    ) -> impl Future<Output = Result<Option<CredentialName>, StoreAway>> + Send;

    /// The state of these credentials of a Provider as all replicas see it, in their order.
    fn look_up(
        &self,
        now: Timestamp,
        provider: &ProviderName,
        members: &[Member],
    ) -> impl Future<Output = Vec<CredentialState>> + Send;

    /// The state of these callers as all replicas see it, in their order.
    fn look_up_clients(
        &self,
        now: Timestamp,
        clients: &[(&ClientName, &[QuotaWindow])],
    ) -> impl Future<Output = Vec<ClientState>> + Send;

    /// Waits until the store has heard all that was begun so far.
    fn heard(&self) -> impl Future<Output = ()> + Send;

    /// All credentials that this process knows of, sorted by name.
    fn credentials(&self, now: Timestamp) -> Vec<CredentialState>;

    /// All callers that this process knows of, sorted by name.
    fn clients(&self, now: Timestamp) -> Vec<ClientState>;

    /// All endpoints that this process knows of, sorted by name.
    fn breakers(&self, now: Timestamp) -> Vec<BreakerState>;
}

/// A credential that was picked.
#[derive(Debug)]
pub struct Picked<H> {
    /// Which.
    pub credential: CredentialName,
    /// Whether this call finds out if a rest or an open breaker is over.
    pub probe: bool,
    /// What must be given back.
    pub hold: H,
}

/// No credential was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Why.
    pub reason: NoneUsable,
    /// Whether the end of another call may help.
    pub releasable: bool,
}
