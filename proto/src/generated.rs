//! What `build.rs` generates from the `.proto` files.
#![expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::default_trait_access,
    clippy::doc_markdown,
    clippy::too_many_lines,
    unused_qualifications,
    reason = "written by generators"
)]

/// The packages.
pub(crate) mod roundhouse {
    /// See `proto/roundhouse/admin`.
    pub mod admin {
        /// Version 1.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/roundhouse.admin.v1.rs"));
        }
    }
    /// See `proto/roundhouse/discovery`.
    pub mod discovery {
        /// Version 1.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/roundhouse.discovery.v1.rs"));
        }
    }
}

include!(concat!(env!("OUT_DIR"), "/debug.rs"));
