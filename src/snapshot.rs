//! The immutable picture of keys, settings and their lookups that every request reads without a lock or a query.
