//! Pictures of the screens.
