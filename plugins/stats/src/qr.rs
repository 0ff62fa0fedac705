//! Least squares by Householder reflections with column pivoting: exact where normal equations lose half the digits, and
//! it shows which columns say nothing new. It knows nothing of tables.

/// A diagonal element this much smaller than the first means that its column is a combination of the others. Columns come
/// standardised, so this is about the digits of `f64` and no more.
const RANK_TOLERANCE: f64 = 1e-10;

/// Columns, by index, that are combinations of the others.
#[derive(Debug, PartialEq, Eq)]
pub struct Dependent(pub Vec<usize>);

/// The weights of `columns` that bring their sum closest to `target`. All columns are as long as `target`, and there are
/// at least as many rows as columns.
pub fn least_squares(mut columns: Vec<Vec<f64>>, mut target: Vec<f64>) -> Result<Vec<f64>, Dependent> {
    let count = columns.len();
    let mut order: Vec<usize> = (0..count).collect();
    let mut diagonal: Vec<f64> = Vec::with_capacity(count);
    for step in 0..count {
        let longest = (step..count).max_by(|a, b| tail(&columns[*a], step).total_cmp(&tail(&columns[*b], step)));
        let longest = longest.unwrap_or(step);
        columns.swap(step, longest);
        order.swap(step, longest);
        let length = tail(&columns[step], step).sqrt();
        if length <= RANK_TOLERANCE * diagonal.first().map_or(0.0, |first| first.abs()) || length == 0.0 {
            return Err(Dependent(order.split_off(step)));
        }
        // Away from the element's own sign, so that nothing cancels.
        let alpha = if columns[step][step] > 0.0 { -length } else { length };
        let mut mirror = columns[step][step..].to_vec();
        mirror[0] -= alpha;
        for column in &mut columns[step + 1..] {
            reflect(&mirror, &mut column[step..]);
        }
        reflect(&mirror, &mut target[step..]);
        diagonal.push(alpha);
    }
    Ok(substitute_back(&columns, &diagonal, &target, &order))
}

/// The squared length of what is left of a column.
fn tail(column: &[f64], from: usize) -> f64 {
    column[from..].iter().map(|value| value * value).sum()
}

fn reflect(mirror: &[f64], vector: &mut [f64]) {
    let square: f64 = mirror.iter().map(|value| value * value).sum();
    let product: f64 = mirror.iter().zip(vector.iter()).map(|(a, b)| a * b).sum();
    let factor = 2.0 * product / square;
    for (value, normal) in vector.iter_mut().zip(mirror) {
        *value -= factor * normal;
    }
}

fn substitute_back(columns: &[Vec<f64>], diagonal: &[f64], target: &[f64], order: &[usize]) -> Vec<f64> {
    let mut solved = vec![0.0; diagonal.len()];
    for row in (0..diagonal.len()).rev() {
        let known: f64 = (row + 1..diagonal.len()).map(|column| columns[column][row] * solved[column]).sum();
        solved[row] = (target[row] - known) / diagonal[row];
    }
    let mut weights = vec![0.0; diagonal.len()];
    for (value, place) in solved.into_iter().zip(order) {
        weights[*place] = value;
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_combination_is_found() {
        let columns = vec![vec![1.0, 0.0, 2.0, -1.0], vec![0.5, 3.0, 1.0, 1.0]];
        let target = (0..4).map(|row| 2.0 * columns[0][row] - 7.0 * columns[1][row]).collect();
        let weights = least_squares(columns, target).unwrap();
        assert!((weights[0] - 2.0).abs() < 1e-12 && (weights[1] + 7.0).abs() < 1e-12, "{weights:?}");
    }

    #[test]
    fn what_says_nothing_new_is_named() {
        let a = vec![1.0, 2.0, 3.0, 5.0];
        let b = vec![2.0, -1.0, 0.0, 1.0];
        let sum = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        assert_eq!(least_squares(vec![a, b, sum], vec![1.0; 4]).unwrap_err().0.len(), 1);
        assert_eq!(least_squares(vec![vec![0.0; 3]], vec![1.0; 3]), Err(Dependent(vec![0])));
    }
}
