//! The resource kinds as people write them: group `roundhouse.dev`, version `v1alpha1`.
//!
//! A field enters these types in the change that enforces it; everything else is refused, so nothing
//! that is written is silently without effect. Validation that one object allows lives in the schema
//! (bounds, patterns, CEL rules); what needs other objects is checked by [`crate::compile()`].

mod client_key;
mod common;
mod credential;
mod model_route;
mod provider;
mod status;
mod window;

pub use client_key::{
    ClientKey, ClientKeySpec, ClientLimits, ClientModels, CreationPolicy, MintTarget, Rotation,
    WhenStoreIsAway,
};
pub use common::{Consumers, Duration, InvalidDuration, Limits, LocalReference, SecretKeyReference};
pub use credential::{ApiKey, Credential, CredentialModels, CredentialSpec, Quota};
pub use model_route::{
    CredentialSelector, FallbackReason, ModelRoute, ModelRouteSpec, Retry, StreamStart, Target,
};
pub use provider::{
    Affinity, AffinityKey, Api, Auth, AuthType, Azure, AzureUrlStyle, Breaker, CaKind, CaReference, Dialect,
    ErrorMatch, ErrorRule, Fault, Header, HeaderValueFrom, Listed, Provider, ProviderLimits, ProviderSpec,
    RestKind, RestOf, RestReach, Selection, Service, ServiceScheme, Strategy, Timeouts, Tls,
};
pub use status::{
    ClientKeyHandled, ClientKeyStatus, CredentialCount, CredentialStatus, Distribution, LastError,
    LastHandled, ModelRouteStatus, ObservedSecret, ProviderStatus, RestStatus, UsageStatus, WindowStatus,
};
pub use window::{Calendar, CalendarUnit, Weekday, Window};

/// The pattern of a duration.
pub(crate) const DURATION: &str = "^([0-9]{1,6}(ms|s|m|h)){1,4}$";
/// The pattern of a model's name.
pub(crate) const MODEL_NAME: &str = r"^[^\s*]+$";
/// The pattern of a model's name or a glob.
pub(crate) const MODEL_PATTERN: &str = r"^\S+$";
/// The pattern of a header's name.
pub(crate) const HEADER_NAME: &str = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$";
/// The pattern of a Secret's name.
pub(crate) const SECRET_NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// The pattern of a key within a Secret.
pub(crate) const SECRET_KEY: &str = "^[-._a-zA-Z0-9]+$";
/// The pattern of a window's name.
pub(crate) const WINDOW_NAME: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// The pattern of a time of day.
pub(crate) const TIME_OF_DAY: &str = "^([01][0-9]|2[0-3]):[0-5][0-9]$";

/// The API group of all kinds.
pub const GROUP: &str = "roundhouse.dev";
/// The version of all kinds.
pub const VERSION: &str = "v1alpha1";
