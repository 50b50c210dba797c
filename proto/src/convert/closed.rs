//! Closed sets. A value that is missing in one of these lists does not compile.

use jiff::civil;

use super::{Problem, v1};

macro_rules! closed {
    ($($message:ident: $set:ty { $($value:ident = $stands_for:ident),+ $(,)? })+) => {$(
        impl From<$set> for v1::$message {
            fn from(value: $set) -> Self {
                match value {
                    $(<$set>::$stands_for => Self::$value,)+
                }
            }
        }

        impl TryFrom<v1::$message> for $set {
            type Error = Problem;

            fn try_from(message: v1::$message) -> Result<Self, Problem> {
                match message {
                    v1::$message::Unspecified => Err(Problem::UnknownValue(message.into())),
                    $(v1::$message::$value => Ok(Self::$stands_for),)+
                }
            }
        }
    )+};
}

closed! {
    Dialect: dialect::Dialect { Openai = OpenAi, Anthropic = Anthropic }
    Api: dialect::Api {
        ChatCompletions = ChatCompletions,
        Completions = Completions,
        Responses = Responses,
        Embeddings = Embeddings,
        Messages = Messages,
    }
    Scheme: snapshot::Scheme { Http = Http, Https = Https }
    Consumers: snapshot::Consumers { Same = Same, All = All }
    Fault: snapshot::Fault {
        Caller = Caller,
        Credential = Credential,
        Upstream = Upstream,
        Gateway = Gateway,
    }
    RestScope: snapshot::RestScope { Credential = Credential, CredentialAndModel = CredentialAndModel }
    RestReason: snapshot::RestReason {
        RateLimited = RateLimited,
        QuotaExhausted = QuotaExhausted,
        Unauthorized = Unauthorized,
        AccountBlocked = AccountBlocked,
        ModelUnavailable = ModelUnavailable,
        Failing = Failing,
    }
    Strategy: snapshot::Strategy {
        RoundRobin = RoundRobin,
        LeastBusy = LeastBusy,
        Weighted = Weighted,
        FillFirst = FillFirst,
        MostHeadroom = MostHeadroom,
    }
    AzureStyle: snapshot::AzureStyle { V1 = V1, Deployments = Deployments }
    Weekday: civil::Weekday {
        Monday = Monday,
        Tuesday = Tuesday,
        Wednesday = Wednesday,
        Thursday = Thursday,
        Friday = Friday,
        Saturday = Saturday,
        Sunday = Sunday,
    }
    FallbackOn: snapshot::FallbackOn {
        CredentialsExhausted = CredentialsExhausted,
        UpstreamFailed = UpstreamFailed,
        Timeout = Timeout,
        ContextTooLong = ContextTooLong,
        ModelNotFound = ModelNotFound,
    }
    WhenStoreIsAway: snapshot::WhenStoreIsAway { Share = Share, Refuse = Refuse }
    Kind: crate::Kind {
        Provider = Provider,
        Credential = Credential,
        Route = Route,
        Client = Client,
        CredentialSecret = CredentialSecret,
        HeaderSecret = HeaderSecret,
        DigestKey = DigestKey,
    }
}
