// The directions in which points differ most.
#pragma once

#include <cstddef>
#include <vector>

#include "fathom/study/loops/matrix.h"

namespace fathom {

struct Pca {
  std::vector<double> mean;  // of the points, by coordinate
  DenseMatrix axes;  // one a row: of length 1, or zeros where points have no more directions
  std::vector<double> ratios;  // of the whole variance, by axis; 0 where there is none

  // Each point's place on each axis: (points, axes).
  DenseMatrix project(const DenseMatrix& points) const;
};

// Of points, one a row. An axis points to where its largest coordinate is positive.
Pca pca(const DenseMatrix& points, size_t components);

}  // namespace fathom
