// Sums of rows, on all threads.
#pragma once

#include <cstdint>

namespace fathom {

// y (count) = a + b, on this thread.
void add(const float* a, const float* b, int64_t count, float* y);

struct TableRows {
  const float* x = nullptr;      // (R, C), what they are added to; null: nothing
  const float* table = nullptr;  // C floats a row
  const int64_t* ids = nullptr;  // (R), of the table's rows
  int64_t R = 0, C = 0;
};

// y (R, C) = x + table[ids]
void add_rows_of_table(const TableRows& rows, float* y);

}  // namespace fathom
