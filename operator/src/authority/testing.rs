//! An authority for tests of what is served.

use pool::{Clock, SystemClock};
use rustls_pki_types::CertificateDer;

use super::{Lives, Names, Presented, certificate::Authority, leaf::Leaf};

/// An authority that is made anew, and a certificate of it for the operator of release `it` in namespace `here`.
pub(crate) fn issue() -> (CertificateDer<'static>, Presented) {
    let now = SystemClock::default().now();
    let lives = Lives::default();
    let made = Authority::make(now, lives.authority).expect("a certificate can be made");
    let authority = Authority::read(made.certificate.as_bytes(), made.key.expose()).expect("it can be read");
    let names = Names::of_operator("it", "here", "cluster.local");
    let leaf = Leaf::signed_by(&authority, &names, now, lives.leaf).expect("it can be signed");
    (authority.certificate().clone(), leaf.presented())
}
