//! Who calls: what IAM says of the signer, never what the request says of itself.
//!
//! `userId` of an assumed role is `<unique id of the role>:<session name>`. The session name is chosen by whoever
//! assumes the role, except for an instance profile, where EC2 sets it to the instance id; so the owner of a lease is
//! the part before the colon, and a node is believed only under the node role's own unique id.
//! See the IAM user guide, "IAM identifiers", and the EC2 user guide, "Instance metadata and user data".
//!
//! Where the deployment names an identity provider, callers come with its tokens instead, which API Gateway has
//! verified; then the token's subject owns the leases. Nodes and operators are believed on IAM's word alone.

use aws_lambda_events::apigw::{ApiGatewayRequestAuthorizerIamDescription, ApiGatewayV2httpRequest};
use pool_core::ids::{InstanceId, Owner};

use crate::problem::Problem;
use crate::settings::Settings;

fn signer(event: &ApiGatewayV2httpRequest) -> Result<&ApiGatewayRequestAuthorizerIamDescription, Problem> {
    let authorizer = event.request_context.authorizer.as_ref();
    authorizer
        .and_then(|authorizer| authorizer.iam.as_ref())
        .ok_or_else(|| Problem::forbidden("The request is not signed; sign it with AWS Signature Version 4."))
}

/// The owner of the leases that this caller asks for: its role or user, or the subject of its token.
///
/// # Errors
/// 403 when neither IAM nor a token says who it is.
pub fn owner(event: &ApiGatewayV2httpRequest) -> Result<Owner, Problem> {
    let token = event.request_context.authorizer.as_ref().and_then(|authorizer| authorizer.jwt.as_ref());
    if let Some(token) = token {
        return match (token.claims.get("iss"), token.claims.get("sub")) {
            // An address cannot be an id of IAM's, so no token takes the place of a role.
            (Some(issuer), Some(subject)) if !subject.is_empty() => Ok(Owner::of(&format!("{issuer} {subject}"))),
            _ => Err(Problem::forbidden("The token names no subject (sub); use one that says who you are.")),
        };
    }
    let user_id = signer(event)?.user_id.as_deref().unwrap_or_default();
    let unique_id = user_id.split(':').next().unwrap_or_default();
    if unique_id.is_empty() {
        return Err(Problem::forbidden("IAM did not say who signed the request."));
    }
    Ok(Owner::of(unique_id))
}

/// The operator who gives an order, as IAM names it, for the history: IAM has let it pass, and it is no node.
///
/// # Errors
/// 403 when IAM did not say who it is, or it is an instance of this pool.
pub fn operator(event: &ApiGatewayV2httpRequest, settings: &Settings) -> Result<String, Problem> {
    if owner(event)? == Owner::of(&settings.node_role_id) {
        return Err(Problem::forbidden("An instance of the pool gives no orders; use the credentials of an operator."));
    }
    Ok(signer(event)?.user_id.clone().unwrap_or_default())
}

/// Makes sure that the caller is the node of `instance`, or of the instance that this is a slot of: our account, the node role, and the
/// instance's own session.
///
/// # Errors
/// 403 when it is anyone else.
pub fn require_node(
    event: &ApiGatewayV2httpRequest,
    instance: &InstanceId,
    settings: &Settings,
) -> Result<(), Problem> {
    let signer = signer(event)?;
    let is_node_role = signer.account_id.as_deref() == Some(&settings.account_id);
    let expected = format!("{}:{}", settings.node_role_id, instance.machine());
    if is_node_role && signer.user_id.as_deref() == Some(&expected) {
        return Ok(());
    }
    Err(Problem::forbidden(format!(
        "Only the instance {instance} itself may call this, with the credentials of its role."
    )))
}
