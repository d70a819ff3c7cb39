//! How alike two vectors of floats are, from 0 to 1.

use super::ScalarFunction;
use crate::types::error::{Result, ValueError};
use crate::types::{CqlType, fixed, frames};

/// The similarity called `name` of two `vector<float, dimension>`.
pub(super) fn similarity(name: &str, dimension: usize) -> Option<ScalarFunction> {
    let body: fn(&[f32], &[f32]) -> Result<f32> = match name {
        "similarity_cosine" => cosine,
        "similarity_euclidean" => euclidean,
        "similarity_dot_product" => dot_product,
        _ => return None,
    };
    let vector = CqlType::Vector(Box::new(CqlType::Float), dimension);
    let arguments = vec![vector.clone(), vector];
    Some(ScalarFunction::new(name, arguments, CqlType::Float, move |values| {
        let [Some(a), Some(b)] = values else { return Ok(None) };
        let similarity = body(&floats(a, dimension)?, &floats(b, dimension)?)?;
        Ok(Some(fixed::from_f32(similarity)))
    }))
}

fn floats(bytes: &[u8], dimension: usize) -> Result<Vec<f32>> {
    let elements = frames::vector_elements(bytes, &CqlType::Float, dimension)?;
    Ok(elements.into_iter().filter_map(fixed::to_f32).collect())
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn cosine(a: &[f32], b: &[f32]) -> Result<f32> {
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths == 0.0 {
        let message = "Function system.similarity_cosine doesn't support all-zero vectors.";
        return Err(ValueError::invalid(message));
    }
    Ok((1.0 + dot(a, b) / lengths) / 2.0)
}

fn euclidean(a: &[f32], b: &[f32]) -> Result<f32> {
    let squares: f32 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
    Ok(1.0 / (1.0 + squares))
}

fn dot_product(a: &[f32], b: &[f32]) -> Result<f32> {
    Ok((1.0 + dot(a, b)) / 2.0)
}
