//! Functions as the principals that they are (FUNCTIONS-4).

use cairn_access::{Access, Error, Origin, Visit};
use cairn_env::Env;

use crate::model::Function;

/// Lets a function in, by the door that is said in its records.
pub(crate) async fn admitted(
    (access, env): (&Access, &Env),
    function: &Function,
    door: &'static str,
) -> Result<Visit, Error> {
    let request = format!("{:016x}", env.rng.next_u64());
    let origin = Origin { door, request, ..Origin::default() };
    access.admit_function(&function.to_string(), origin).await
}
