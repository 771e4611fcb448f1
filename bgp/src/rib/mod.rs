//! What a peer holds of us.
