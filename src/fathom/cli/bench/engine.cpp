// `fathom bench`
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "fathom/cli/bench/request.h"
#include "fathom/io/json_text.h"
#include "fathom/model/device.h"
#include "fathom/study/bench/op_times.h"
#include "fathom/track/console.h"

namespace fathom {
namespace {

void print(const nlohmann::json& out) {
  for (const auto& [key, value] : out.items())
    if (value.is_number_float())
      fmt::print("{:<26}{:>14.4g}\n", key, value.get<double>());
    else
      fmt::print("{:<26}{:>14}\n", key,
                 value.is_string() ? value.get<std::string>() : json_text(value));
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
