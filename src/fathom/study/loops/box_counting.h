// How a trajectory fills space: its box-counting dimension.
#pragma once

#include "fathom/study/loops/matrix.h"

namespace fathom {

// Of points, one a row, scaled to the unit cube by each coordinate's least and largest value:
// N(e) boxes of side e hold a point, and the dimension is the slope of ln N over ln(1/e), by least
// squares. 0 for fewer than two points and for points that are all the same; NaN where fewer than
// two sides say anything.
//
// 20 sides from 1e-3 to 1, which is left out; those with more than one box count.
double box_dimension(const DenseMatrix& points);
// 90 sides from 1e-6 to 1, N the mean over 8 places of the grid; those with more than one box and
// fewer than 0.9 of the points count, of them the longest run of sides if it has 4 or more.
double box_dimension_of_run(const DenseMatrix& points);

}  // namespace fathom
