// Student's t distribution, as far as comparisons need it. All in fp64; degrees of freedom need not
// be whole, for Welch's are not.
#pragma once

namespace fathom {

// The regularised incomplete beta function I_x(a, b), 0 <= x <= 1, a and b above 0: by its
// continued fraction (Abramowitz and Stegun 26.5.8), to about 1e-14.
double incomplete_beta(double a, double b, double x);

// P(T <= t) with `df` degrees of freedom, above 0.
double student_cdf(double t, double df);
// P(|T| >= |t|): what a two-sided test reports. Small ones are exact too, not 1 minus something.
double student_two_sided(double t, double df);
// The t with P(T <= t) = p, 0 < p < 1.
double student_quantile(double p, double df);

// The probability that a two-sided test at `alpha` finds a difference of `delta` standard errors:
// P(|T'| > t), T' = (Z + delta) / sqrt(chi2 / df) noncentral, integrated over chi.
double student_power(double delta, double df, double alpha);
// The least difference, in standard errors, that such a test finds with probability `power`.
double detectable_difference(double df, double alpha, double power);

}  // namespace fathom
