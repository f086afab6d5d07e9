// How fast ranks sum gradients: the same call that a training step makes, over sizes from 4 KiB to
// 256 MiB, in single precision. `bench-reduce N [MIBS]` starts N ranks here; under torchrun, mpirun
// or srun the ranks are theirs. Rank 0 prints a line a size: the median of the repeats, and what of
// the network each rank needs for it (a ring sends 2 (N - 1) / N of the bytes from each).
//
//     cmake --build build/release --target bench-reduce && build/release/bench-reduce 2
#include <ATen/ops/ones.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/lines.h"
#include "fathom/parallel/local_ranks.h"
#include "fathom/parallel/watched_ranks.h"
#include "fathom/study/bench/times.h"
#include "fathom/track/console.h"
#include "fathom/track/guarded.h"

namespace fathom {
namespace {

void measure(Ranks& ranks, int64_t bytes) {
  const Tensor numbers = at::ones({bytes / 4}, at::TensorOptions(at::kFloat));
  const int repeats = bytes >= (64 << 20) ? 5 : bytes >= (1 << 20) ? 20 : 200;
  std::vector<double> times;
  for (int i = -2; i < repeats; ++i) {  // two that are not measured
    numbers.fill_(1);
    ranks.barrier();
    const double seconds = seconds_of([&] { ranks.sum(numbers); });
    if (i >= 0) times.push_back(seconds);
  }
  if (numbers[0].item<float>() != static_cast<float>(ranks.size())) fail("the sum is wrong");
  if (!ranks.is_first()) return;
  const double median = quantile(times, 0.5), n = ranks.size();
  fmt::print("{:>12} bytes  {:>10.3f} ms (p90 {:>8.3f})  {:>8.3f} GB/s a rank\n", bytes,
             median * 1e3, quantile(times, 0.9) * 1e3,
             2 * (n - 1) / n * static_cast<double>(bytes) / median / 1e9);
}

int run(int argc, char** argv) {
  const Launch launch = launch_of(process_environment());
  if (launch.size == 1) {
    const auto n = argc > 1 ? parse_number<int>(argv[1]) : std::nullopt;
    if (!n || *n < 2) misuse("bench-reduce N: the number of ranks, from 2", "bench-reduce 2");
    const std::string self = std::filesystem::read_symlink("/proc/self/exe");
    setenv("OMP_NUM_THREADS", "1", /*overwrite=*/0);
    return run_local_ranks(self, {argv, argv + argc}, *n);
  }
  speak_as_rank(launch.rank);
  WatchedRanks ranks(launch);
  const auto most = argc > 2 ? parse_number<int64_t>(argv[2]) : 256;
  if (launch.is_first())
    fmt::print("{} ranks, {} on this machine, by {}\n", launch.size, launch.local_size, launch.by);
  for (int64_t bytes = 4 << 10; bytes <= most.value_or(256) << 20; bytes *= 4)
    measure(*ranks.ranks(), bytes);
  ranks.part();
  return 0;
}

}  // namespace
}  // namespace fathom

int main(int argc, char** argv) {
  return fathom::guarded(fathom::run, argc, argv);
}
