// `fathom bench`
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "fathom/base/text.h"
#include "fathom/cli/bench/request.h"
#include "fathom/io/json_text.h"
#include "fathom/model/device.h"
#include "fathom/study/bench/op_times.h"
#include "fathom/track/console.h"

namespace fathom {
namespace {

std::string shown(const std::string& key, const nlohmann::json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_integer()) return with_commas(value.get<int64_t>());
  if (!value.is_number()) return json_text(value);
  const auto x = value.get<double>();
  if (key.find("bytes") != key.npos) return human_bytes(x);
  if (key.rfind("share_", 0) == 0) return fmt::format("{:.1f} %", 100 * x);
  if (!std::isfinite(x) || std::abs(x) < 1000 || std::abs(x) > 1e15)
    return fmt::format("{:.4g}", x);
  return with_commas(std::llround(x));
}

void print(const nlohmann::json& out) {
  for (const auto& [key, value] : out.items()) fmt::print("{:<26}{:>14}\n", key, shown(key, value));
}

int bench(const BenchRequest& request) {
  for (const std::string& notice : request.notices) say_note(notice);
  const int threads = set_threads(request.config.training.threads).threads;
  if (request.kind == BenchKind::kOps) {
    const std::vector<OpTimes> ops = bench_ops(request.config, request.vocab_size, request.repeats);
    print_ops(ops, request.json, about(request, threads));
    return 0;
  }
  nlohmann::json out = request.kind == BenchKind::kStep ? bench_step(request, threads)
                                                        : bench_decode(request, threads);
  if (request.json)
    fmt::print("{}\n", json_text(out, 2));
  else
    print(out);
  return 0;
}

}  // namespace

int run_bench_in_engine(const Arguments& arguments) {
  const auto request = parse_bench(arguments);
  return request ? bench(*request) : 0;
}

}  // namespace fathom
