#include "fathom/data/in_batches.h"

namespace fathom {

Drawn take(const DataSet& data, int64_t count, const Cursor& cursor) {
  Drawn all = {{}, cursor, 0};
  for (int64_t i = 0; i < count; ++i) {
    Drawn one = data.next(all.after);
    all.after = std::move(one.after);
    all.samples += one.samples;
    append(all.batch, one.batch);
  }
  return all;
}

}  // namespace fathom
