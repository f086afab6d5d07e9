// One model at several depths: a row for each evaluation of the same batches.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fathom/report/report.h"

namespace fathom {

struct DepthRow {
  std::string name;              // "5 loops"
  std::optional<int64_t> count;  // fixed, of every loop group; unset: it depends
  double loss = 0, standard_error = 0;
  // Where layers answer by themselves: the loss of the one that does.
  std::optional<double> infer = {};
  // Of what is answered, from the table's reference; the error is paired by sequence, NaN: unknown.
  double difference = 0, difference_error = 0;
  double flops = 0;  // of a token; 0: not told
  // Mean of a token where rows may leave their loops, of a sequence where counts are drawn.
  std::optional<double> iterations = {};

  double answer_loss() const { return infer.value_or(loss); }
};

struct DepthTable {
  std::string unit = "nats per token";
  std::vector<DepthRow> rows;
  size_t reference = 0;            // what differences are from
  std::optional<int64_t> trained;  // most iterations that training had; unset: unknown
};

// The table, and a curve over fixed counts with a band of one standard error: what is
// beyond the trained maximum is a line of its own.
void add_depths(const DepthTable& table, report::Report& report);
// For programs: an object a row.
nlohmann::json depth_numbers(const DepthTable& table);

}  // namespace fathom
