//! What benchmarks share: requests as lvsctl makes them ([`control`]), what lvsd says of itself ([`exposition`]), who
//! gets the processor ([`priority`]), and the report ([`figures`]).

pub mod control;
pub mod exposition;
pub mod figures;
pub mod priority;
