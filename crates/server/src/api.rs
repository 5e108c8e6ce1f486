//! The protocols: gRPC, HTTP/JSON, the documents. Knows no store and no SQL.

pub mod status;
