//! The shortest way on the WGS 84 ellipsoid, by T. Vincenty, "Direct and inverse solutions of geodesics on the ellipsoid
//! with application of nested equations", Survey Review 23 (1975): exact to half a millimetre. It does not converge for
//! places that are all but opposite to each other, and says so.

use core::f64::consts::{PI, TAU};

use libm::{atan, atan2, cos, fabs, fmod, sin, sqrt, tan};

use crate::place::Place;

/// Half the equator's diameter, in metres (WGS 84).
const A: f64 = 6_378_137.0;
/// The flattening (WGS 84).
const F: f64 = 1.0 / 298.257_223_563;
/// Half the axis, in metres.
const B: f64 = A * (1.0 - F);
/// In radians: less than a tenth of a millimetre.
const CLOSE_ENOUGH: f64 = 1e-12;
/// Some 5 are usual; places that need more are all but antipodal.
const MAX_STEPS: usize = 200;

/// A way between two places.
#[derive(Debug)]
pub struct Way {
    pub distance_m: f64,
    /// Degrees clockwise from north, 0 to 360.
    pub initial_bearing: f64,
    pub final_bearing: f64,
}

/// The shortest way; `None` if the places are all but antipodal.
pub fn inverse(from: Place, to: Place) -> Option<Way> {
    if from == to {
        return Some(Way { distance_m: 0.0, initial_bearing: 0.0, final_bearing: 0.0 });
    }
    let longitude = fmod((to.lon - from.lon).to_radians() + TAU + PI, TAU) - PI;
    let (u1, u2) = (reduced(from.lat), reduced(to.lat));
    let (sin1, cos1, sin2, cos2) = (sin(u1), cos(u1), sin(u2), cos(u2));
    let mut lambda = longitude;
    for _ in 0..MAX_STEPS {
        let (sin_lambda, cos_lambda) = (sin(lambda), cos(lambda));
        let east = cos2 * sin_lambda;
        let north = cos1 * sin2 - sin1 * cos2 * cos_lambda;
        let sin_sigma = sqrt(east * east + north * north);
        let cos_sigma = sin1 * sin2 + cos1 * cos2 * cos_lambda;
        let sigma = atan2(sin_sigma, cos_sigma);
        if sin_sigma == 0.0 {
            // The same place with another name, such as either side of the date line or of a pole.
            let same = cos_sigma > 0.0;
            return same.then_some(Way { distance_m: 0.0, initial_bearing: 0.0, final_bearing: 0.0 });
        }
        let sin_alpha = cos1 * cos2 * sin_lambda / sin_sigma;
        let cos2_alpha = 1.0 - sin_alpha * sin_alpha;
        // On the equator there is no middle to be measured from.
        let middle = if cos2_alpha > 0.0 { cos_sigma - 2.0 * sin1 * sin2 / cos2_alpha } else { 0.0 };
        let c = F / 16.0 * cos2_alpha * (4.0 + F * (4.0 - 3.0 * cos2_alpha));
        let turn = middle + c * cos_sigma * (2.0 * middle * middle - 1.0);
        let next = longitude + (1.0 - c) * F * sin_alpha * (sigma + c * sin_sigma * turn);
        if fabs(next) > PI {
            return None;
        }
        if fabs(next - lambda) < CLOSE_ENOUGH {
            let (a, b) = series(cos2_alpha);
            let start = atan2(east, north);
            let end = atan2(cos1 * sin_lambda, cos1 * sin2 * cos_lambda - sin1 * cos2);
            return Some(Way {
                distance_m: B * a * (sigma - correction(b, sin_sigma, cos_sigma, middle)),
                initial_bearing: bearing(start),
                final_bearing: bearing(end),
            });
        }
        lambda = next;
    }
    None
}

/// Where a way ends, and its bearing there.
pub fn direct(from: Place, initial_bearing: f64, distance_m: f64) -> (Place, f64) {
    let alpha = initial_bearing.to_radians();
    let (sin_alpha1, cos_alpha1) = (sin(alpha), cos(alpha));
    let u1 = reduced(from.lat);
    let (sin1, cos1) = (sin(u1), cos(u1));
    let sigma1 = atan2(tan(u1), cos_alpha1);
    let sin_alpha = cos1 * sin_alpha1;
    let cos2_alpha = 1.0 - sin_alpha * sin_alpha;
    let (a, b) = series(cos2_alpha);
    let first = distance_m / (B * a);
    let mut sigma = first;
    for _ in 0..MAX_STEPS {
        let next = first + correction(b, sin(sigma), cos(sigma), cos(2.0 * sigma1 + sigma));
        let moved = fabs(next - sigma);
        sigma = next;
        if moved < CLOSE_ENOUGH {
            break;
        }
    }
    let (sin_sigma, cos_sigma, middle) = (sin(sigma), cos(sigma), cos(2.0 * sigma1 + sigma));
    let inward = sin1 * sin_sigma - cos1 * cos_sigma * cos_alpha1;
    let lat = atan2(
        sin1 * cos_sigma + cos1 * sin_sigma * cos_alpha1,
        (1.0 - F) * sqrt(sin_alpha * sin_alpha + inward * inward),
    );
    let lambda = atan2(sin_sigma * sin_alpha1, cos1 * cos_sigma - sin1 * sin_sigma * cos_alpha1);
    let c = F / 16.0 * cos2_alpha * (4.0 + F * (4.0 - 3.0 * cos2_alpha));
    let turn = middle + c * cos_sigma * (2.0 * middle * middle - 1.0);
    let east = lambda - (1.0 - c) * F * sin_alpha * (sigma + c * sin_sigma * turn);
    let lon = fmod(from.lon + east.to_degrees() + 540.0, 360.0) - 180.0;
    (Place { lat: lat.to_degrees(), lon }, bearing(atan2(sin_alpha, -inward)))
}

/// The latitude on the sphere around the ellipsoid.
fn reduced(lat: f64) -> f64 {
    atan((1.0 - F) * tan(lat.to_radians()))
}

/// Vincenty's A and B.
fn series(cos2_alpha: f64) -> (f64, f64) {
    let u = cos2_alpha * (A * A - B * B) / (B * B);
    let a = 1.0 + u / 16384.0 * (4096.0 + u * (-768.0 + u * (320.0 - 175.0 * u)));
    let b = u / 1024.0 * (256.0 + u * (-128.0 + u * (74.0 - 47.0 * u)));
    (a, b)
}

/// Vincenty's delta sigma.
fn correction(b: f64, sin_sigma: f64, cos_sigma: f64, middle: f64) -> f64 {
    let square = 2.0 * middle * middle;
    let third = b / 6.0 * middle * (4.0 * sin_sigma * sin_sigma - 3.0) * (2.0 * square - 3.0);
    b * sin_sigma * (middle + b / 4.0 * (cos_sigma * (square - 1.0) - third))
}

/// Degrees, 0 to 360.
fn bearing(radians: f64) -> f64 {
    fmod(radians.to_degrees() + 360.0, 360.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(lat: f64, lon: f64) -> Place {
        Place { lat, lon }
    }

    fn degrees(degrees: f64, minutes: f64, seconds: f64) -> f64 {
        degrees + minutes / 60.0 + seconds / 3600.0
    }

    /// Flinders Peak to Buninyong on the ellipsoid GRS 80 (all but the same as WGS 84): the worked example of the
    /// Australian geodetic datum's technical manual.
    #[test]
    fn the_manuals_example_comes_out() {
        let flinders = place(-degrees(37.0, 57.0, 3.72030), degrees(144.0, 25.0, 29.52440));
        let buninyong = place(-degrees(37.0, 39.0, 10.15610), degrees(143.0, 55.0, 35.38390));
        let way = inverse(flinders, buninyong).unwrap();
        assert!((way.distance_m - 54_972.271).abs() < 0.001, "{way:?}");
        assert!((way.initial_bearing - degrees(306.0, 52.0, 5.37)).abs() < 1e-5, "{way:?}");
        assert!((way.final_bearing - (degrees(127.0, 10.0, 25.07) + 180.0)).abs() < 1e-5, "{way:?}");
        let (there, bearing) = direct(flinders, way.initial_bearing, way.distance_m);
        assert!((there.lat - buninyong.lat).abs() < 1e-9 && (there.lon - buninyong.lon).abs() < 1e-9, "{there:?}");
        assert!((bearing - way.final_bearing).abs() < 1e-7);
    }

    /// A degree of the equator is the ellipsoid's radius times a degree; a quarter of a meridian is 10,001.966 km.
    #[test]
    fn equator_and_meridian_have_their_known_lengths() {
        let equator = inverse(place(0.0, 179.5), place(0.0, -179.5)).unwrap();
        assert!((equator.distance_m - A * 1.0_f64.to_radians()).abs() < 0.001, "{equator:?}");
        assert!((equator.initial_bearing - 90.0).abs() < 1e-9);
        let meridian = inverse(place(0.0, 20.0), place(90.0, 20.0)).unwrap();
        assert!((meridian.distance_m - 10_001_965.729).abs() < 0.001, "{meridian:?}");
    }

    #[test]
    fn special_places_are_no_special_cases() {
        assert_eq!(inverse(place(5.0, 5.0), place(5.0, 5.0)).unwrap().distance_m, 0.0);
        assert!(inverse(place(5.0, 180.0), place(5.0, -180.0)).unwrap().distance_m < 1e-3);
        assert!(inverse(place(90.0, 0.0), place(90.0, 77.0)).unwrap().distance_m < 1e-3);
        assert!(inverse(place(0.0, 0.0), place(0.5, 179.7)).is_none());
        assert!(inverse(place(0.0, 0.0), place(0.0, 180.0)).is_none());
        let (pole, _) = direct(place(0.0, 20.0), 0.0, 10_001_965.729);
        assert!((pole.lat - 90.0).abs() < 1e-7, "{pole:?}");
    }

    #[test]
    fn a_way_and_its_end_agree_everywhere() {
        for lat in (-80..=80).step_by(20) {
            for bearing in (0..360).step_by(30) {
                for distance in [1.0, 1e3, 1e6, 9e6] {
                    let from = place(f64::from(lat), 170.0);
                    let (to, _) = direct(from, f64::from(bearing), distance);
                    let way = inverse(from, to).unwrap();
                    assert!((way.distance_m - distance).abs() < 1e-3, "{lat} {bearing} {distance}: {way:?}");
                }
            }
        }
    }
}
