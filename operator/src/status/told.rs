//! The status of an object of any kind, and what is new in it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use resources::{
    ConditionType, Kind,
    kinds::{ClientKeyStatus, CredentialStatus, ModelRouteStatus, ProviderStatus, UsageStatus, WindowStatus},
};
use serde::{Serialize, Serializer};

/// A status.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Status {
    Provider(ProviderStatus),
    Credential(CredentialStatus),
    ModelRoute(ModelRouteStatus),
    ClientKey(ClientKeyStatus),
}

/// How much a status differs from the one that is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    /// Not, or too little.
    Nothing,
    /// Numbers of use, which are told rarely.
    Measured,
    /// How many gateways or Credentials there are, for an object that did not change itself.
    Counts,
    /// Something happened to it.
    Transition,
}

impl Status {
    /// A status of nothing but conditions; `None` for kinds that have no status of ours.
    pub(super) fn of_conditions(kind: Kind, conditions: Vec<Condition>) -> Option<Self> {
        let mut status = match kind {
            Kind::Provider => Self::Provider(ProviderStatus::default()),
            Kind::Credential => Self::Credential(CredentialStatus::default()),
            Kind::ModelRoute => Self::ModelRoute(ModelRouteStatus::default()),
            Kind::ClientKey => Self::ClientKey(ClientKeyStatus::default()),
            Kind::Secret | Kind::ConfigMap => return None,
        };
        *status.conditions_mut() = conditions;
        Some(status)
    }

    /// Its conditions.
    pub(super) fn conditions(&self) -> &[Condition] {
        match self {
            Self::Provider(status) => &status.conditions,
            Self::Credential(status) => &status.conditions,
            Self::ModelRoute(status) => &status.conditions,
            Self::ClientKey(status) => &status.conditions,
        }
    }

    fn conditions_mut(&mut self) -> &mut Vec<Condition> {
        match self {
            Self::Provider(status) => &mut status.conditions,
            Self::Credential(status) => &mut status.conditions,
            Self::ModelRoute(status) => &mut status.conditions,
            Self::ClientKey(status) => &mut status.conditions,
        }
    }

    /// The status of a condition, if there is one.
    pub(super) fn truth(&self, kind: ConditionType) -> Option<&str> {
        condition(self.conditions(), kind).map(|condition| condition.status.as_str())
    }

    /// How much this is news beside what is told.
    pub(super) fn change(&self, told: Option<&Self>) -> Change {
        let Some(told) = told else {
            return Change::Transition;
        };
        if self == told {
            return Change::Nothing;
        }
        let mut calm = self.clone();
        calm.take_measures(told);
        if calm == *told {
            return if self.is_noteworthy(told) {
                Change::Measured
            } else {
                Change::Nothing
            };
        }
        calm.take_counts(told);
        let programmed = ConditionType::Programmed;
        let arrived = self.truth(programmed) == Some("True") && told.truth(programmed) != Some("True");
        if calm == *told && !arrived {
            Change::Counts
        } else {
            Change::Transition
        }
    }

    /// Takes the numbers of use from `told`.
    fn take_measures(&mut self, told: &Self) {
        if let (Self::Credential(mine), Self::Credential(told)) = (self, told) {
            mine.usage = told.usage;
            mine.windows.clone_from(&told.windows);
            let class =
                |status: &CredentialStatus| status.last_error.as_ref().map(|error| error.class.clone());
            if class(mine) == class(told) {
                mine.last_error.clone_from(&told.last_error);
            }
        }
    }

    /// Whether one of the numbers of use changed by more than a hundredth.
    fn is_noteworthy(&self, told: &Self) -> bool {
        let (Self::Credential(mine), Self::Credential(told)) = (self, told) else {
            return true;
        };
        let windows_differ = mine.windows.len() != told.windows.len()
            || mine
                .windows
                .iter()
                .zip(&told.windows)
                .any(|(mine, told)| window_differs(mine, told));
        windows_differ
            || usage_differs(mine.usage.unwrap_or_default(), told.usage.unwrap_or_default())
            || mine.last_error != told.last_error
    }

    /// Takes from `told` what changes with gateways and other objects.
    fn take_counts(&mut self, told: &Self) {
        for kind in [ConditionType::Programmed, ConditionType::Reconciling] {
            let conditions = self.conditions_mut();
            conditions.retain(|condition| condition.type_ != kind.as_str());
            conditions.extend(condition(told.conditions(), kind).cloned());
        }
        self.conditions_mut().sort_by(|a, b| a.type_.cmp(&b.type_));
        match (self, told) {
            (Self::Credential(mine), Self::Credential(told)) => {
                mine.distribution.clone_from(&told.distribution);
            }
            (Self::Provider(mine), Self::Provider(told)) => {
                mine.credentials.clone_from(&told.credentials);
            }
            (Self::ModelRoute(mine), Self::ModelRoute(told)) => mine.resolved_targets = told.resolved_targets,
            _ => {}
        }
    }
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Provider(status) => status.serialize(serializer),
            Self::Credential(status) => status.serialize(serializer),
            Self::ModelRoute(status) => status.serialize(serializer),
            Self::ClientKey(status) => status.serialize(serializer),
        }
    }
}

/// The condition of a type.
pub(super) fn condition(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions
        .iter()
        .find(|condition| condition.type_ == kind.as_str())
}

fn window_differs(mine: &WindowStatus, told: &WindowStatus) -> bool {
    (&mine.name, &mine.unit, mine.limit, &mine.reset_at)
        != (&told.name, &told.unit, told.limit, &told.reset_at)
        || differs(mine.used, told.used)
}

fn usage_differs(mine: UsageStatus, told: UsageStatus) -> bool {
    differs(mine.requests, told.requests)
        || differs(mine.input_tokens, told.input_tokens)
        || differs(mine.output_tokens, told.output_tokens)
}

/// Whether a number changed by more than a hundredth.
fn differs(mine: u64, told: u64) -> bool {
    mine.abs_diff(told).saturating_mul(100) > told
}
