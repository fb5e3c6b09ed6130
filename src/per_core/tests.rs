//! What has to say which slot a call uses, or to look at the capacity.

mod edges;
mod near;
mod schedules;
mod shares;
