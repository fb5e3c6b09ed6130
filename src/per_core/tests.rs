//! What has to say which slot a call uses, or to look at the capacity.

mod edges;
mod schedules;
mod shares;
