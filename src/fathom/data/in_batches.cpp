#include "fathom/data/in_batches.h"

#include <algorithm>

#include "fathom/base/error.h"

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

Drawn FirstInBatches::next(const Cursor& cursor) const {
  const int64_t drawn = cursor["drawn"];
  if (drawn < 0 || drawn >= draws_)
    fail("the data position is behind the end of what is evaluated", "it belongs to other data");
  const Cursor place = drawn == 0 ? data_->start() : cursor.part("data");
  Drawn batch = take(*data_, std::min(count_, draws_ - drawn), place);
  Cursor after = {{"drawn", std::min(drawn + count_, draws_)}};
  after.set_part("data", batch.after);
  batch.after = after;
  return batch;
}

}  // namespace fathom
