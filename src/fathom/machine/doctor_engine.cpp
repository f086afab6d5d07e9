// The verdicts about the engine: whether it starts, and what it has loaded.
#include <fmt/format.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/io/json_text.h"
#include "fathom/machine/doctor.h"

namespace fathom {
namespace {

using Libraries = std::vector<std::string>;

constexpr const char* kBuildAgain =
    "cmake --preset release && cmake --build --preset release --target fathom fathom-engine";
constexpr const char* kInstallOpenblas =
    "apt-get install libopenblas0-openmp, then configure and build fathom again, which links it by "
    "its path; LD_LIBRARY_PATH or LD_PRELOAD may still bring in another one";

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}
bool begins(std::string_view text, std::string_view start) {
  return text.substr(0, start.size()) == start;
}
std::string_view file_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

void add_once(Libraries& list, const std::string& entry) {
  if (std::find(list.begin(), list.end(), entry) == list.end()) list.push_back(entry);
}

constexpr const char* kPthreads = "OpenBLAS (pthreads)";
constexpr const char* kOpenmp = "OpenBLAS (OpenMP)";
constexpr const char* kSerial = "OpenBLAS (serial)";
constexpr const char* kSomeOpenblas = "OpenBLAS (unknown threads)";
constexpr const char* kReference = "the reference implementation";

std::string openblas_flavour(std::string_view path, int parallel) {
  // Debian names the folder, Fedora the file.
  const std::string_view file = file_name(path);
  if (has(path, "openblas-openmp") || begins(file, "libopenblaso")) return kOpenmp;
  if (has(path, "openblas-pthread")) return kPthreads;
  if (has(path, "openblas-serial")) return kSerial;
  return parallel == 0   ? kSerial
         : parallel == 1 ? kPthreads
         : parallel == 2 ? kOpenmp
                         : kSomeOpenblas;
}

// The implementations that the loaded libraries of these beginnings belong to.
Libraries implementations(const Libraries& mapped, const std::vector<std::string>& beginnings,
                          int parallel) {
  Libraries found;
  for (const std::string& path : mapped) {
    const std::string_view file = file_name(path);
    if (std::none_of(beginnings.begin(), beginnings.end(),
                     [&](const std::string& start) { return begins(file, start); }))
      continue;
    if (has(path, "openblas"))
      add_once(found, openblas_flavour(path, parallel));
    else if (has(file, "mkl"))
      add_once(found, "MKL");
    else if (has(path, "blis"))
      add_once(found, "BLIS");
    else if (has(path, "atlas"))
      add_once(found, "ATLAS");
    else
      add_once(found, kReference);
  }
  return found;
}

Libraries openmp_runtimes(const Libraries& mapped) {
  Libraries found;
  for (const std::string& path : mapped)
    for (const char* start : {"libgomp", "libomp.", "libomp-", "libiomp"})
      if (begins(file_name(path), start)) add_once(found, path);
  return found;
}

std::string names_of(const Libraries& paths) {
  std::vector<std::string> names;
  for (const std::string& path : paths) names.emplace_back(file_name(path));
  return join(names, ", ");
}

// What a failed start tells: the loader's "cannot open shared object file" names the library.
std::string start_hint(const std::string& said) {
  if (!has(said, "shared librar")) return std::string("build both programs anew: ") + kBuildAgain;
  const bool blas = has(said, "blas") || has(said, "lapack");
  const bool torch = has(said, "torch") || has(said, "libc10");
  if (torch) return "apt-get install libtorch-dev libopenblas0-openmp";
  if (blas) return kInstallOpenblas;
  return "./quickstart installs every package that fathom needs; cmake/packages.txt lists them";
}

template <typename T>
void read(const nlohmann::json& from, const char* key, T& to) {
  to = from.at(key).get<T>();
}

// As JSON reads it, a number with a fraction or beyond an int becomes any int.
void read(const nlohmann::json& from, const char* key, int& to) {
  const nlohmann::json& value = from.at(key);
  if (!value.is_number_integer() || value < -1 || value > INT_MAX)
    fail(fmt::format("{} = {} is not a count", key, shown_json(value)));
  to = value;
}

}  // namespace

std::string to_text(const EngineReadings& r) {
  const nlohmann::json out = {{"version", r.version},
                              {"libtorch", r.libtorch},
                              {"threads", r.threads},
                              {"blas_threads", r.blas_threads},
                              {"openblas_parallel", r.openblas_parallel},
                              {"mkl", r.mkl},
                              {"kernels", r.kernels},
                              {"flushes_denormals", r.flushes_denormals},
                              {"cuda", r.cuda},
                              {"cuda_devices", r.cuda_devices},
                              {"libraries", r.libraries}};
  return json_text(out, 2);
}

std::optional<EngineReadings> parse_engine_readings(std::string_view text) {
  try {
    const nlohmann::json json = parse_json(text, "");
    EngineReadings r;
    read(json, "version", r.version);
    read(json, "libtorch", r.libtorch);
    read(json, "threads", r.threads);
    read(json, "blas_threads", r.blas_threads);
    read(json, "openblas_parallel", r.openblas_parallel);
    read(json, "mkl", r.mkl);
    read(json, "kernels", r.kernels);
    read(json, "flushes_denormals", r.flushes_denormals);
    read(json, "cuda", r.cuda);
    read(json, "cuda_devices", r.cuda_devices);
    read(json, "libraries", r.libraries);
    return r;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  } catch (const Error&) {
    return std::nullopt;
  }
}

Check judge_engine(const std::string& program, const ProgramOutcome& outcome,
                   const std::optional<EngineReadings>& readings, const std::string& version) {
  const auto wrong = [](const std::string& value, const std::string& hint) {
    return Check{"engine", value, Verdict::kWrong, hint};
  };
  if (!outcome.problem.empty())
    return wrong(
        outcome.problem,
        std::string("fathom and fathom-engine belong into the same folder: ") + kBuildAgain);
  const std::string said(trim(outcome.err.substr(0, outcome.err.find('\n'))));
  if (outcome.signal != 0)
    return wrong(fmt::format("{} was ended by signal {} ({})", program, outcome.signal,
                             strsignal(outcome.signal)),
                 std::string("build it on this machine: ") + kBuildAgain);
  if (outcome.exit_code != 0)
    return wrong(fmt::format("{} fails with exit code {}{}", program, outcome.exit_code,
                             said.empty() ? "" : ": " + said),
                 start_hint(said));
  if (!readings || readings->version != version)
    return wrong(fmt::format("{} is {}, fathom is {}", program,
                             readings ? readings->version : "of an unknown version", version),
                 std::string("build both programs anew: ") + kBuildAgain);
  return {"engine", fmt::format("{}, beside fathom", version), Verdict::kOk, ""};
}

Check judge_libtorch(const EngineReadings& r) {
  return {"libtorch", r.libtorch, Verdict::kOk, ""};
}

Check judge_threads(const EngineReadings& r, int allowed) {
  Check check{"threads", fmt::format("{} of libtorch", r.threads), Verdict::kOk, ""};
  if (r.threads > allowed) {
    check.value += fmt::format(" for {} processors", allowed);
    check.verdict = Verdict::kWrong;
    check.hint = "unset the variables that set numbers of threads";
  } else if (r.blas_threads == 1 && r.threads > 1) {
    check.value += ", but 1 of OpenBLAS: its matrix products take one processor";
    check.verdict = Verdict::kWrong;
    check.hint = "unset OMP_NUM_THREADS and OPENBLAS_NUM_THREADS; --threads sets both";
  } else if (r.threads < allowed) {
    check.value += fmt::format(" for {} processors", allowed);
    check.verdict = Verdict::kNote;
    check.hint = "this libtorch was built without OpenMP, or a setting holds it back";
  }
  return check;
}

Check judge_threads(const EngineReadings& r, const ThreadChoice& wanted, int allowed) {
  // Fewer than the processors because a setting or a quota asks for it is as it should be.
  Check check = judge_threads(r, std::min(wanted.threads, allowed));
  if (check.verdict == Verdict::kOk) check.value += ", " + wanted.why;
  return check;
}

Check judge_kernels(const EngineReadings& r) {
  if (r.kernels == "none")
    return {"kernels", "none: every operation is libtorch's own", Verdict::kNote,
            "unset FATHOM_ISA, which asks for that"};
  const std::string value =
      r.kernels + (r.flushes_denormals ? ", denormals are 0" : ", denormals are kept");
  if (r.kernels == "baseline")
    return {"kernels", value + ": several times slower than with AVX2", Verdict::kNote,
            "FATHOM_ISA asks for that, or this processor has no AVX2"};
  return {"kernels", value, Verdict::kOk, ""};
}

Check judge_cuda(const EngineReadings& r) {
  if (r.cuda)
    return {"cuda",
            fmt::format("{} {}", r.cuda_devices, r.cuda_devices == 1 ? "device" : "devices"),
            Verdict::kOk, ""};
  const bool built = std::any_of(r.libraries.begin(), r.libraries.end(), [](const auto& path) {
    return begins(file_name(path), "libtorch_cuda");
  });
  if (!built) return {"cuda", "not in this libtorch", Verdict::kOk, ""};
  return {"cuda", "libtorch has it, but finds no device", Verdict::kNote,
          "`nvidia-smi` says whether the driver works; fathom computes on the processor meanwhile"};
}

Check judge_blas(const Libraries& mapped, int openblas_parallel, bool mkl) {
  const Libraries found =
      implementations(mapped,
                      {"libblas", "libopenblas", "libcblas", "libf77blas", "libatlas", "libsatlas",
                       "libtatlas", "libmkl", "libblis"},
                      openblas_parallel);
  const Libraries openmp = openmp_runtimes(mapped);
  const auto judged = [&](Verdict verdict, const std::string& value, const std::string& hint) {
    return Check{"blas", value, verdict, hint};
  };
  if (found.empty() && mkl) return judged(Verdict::kOk, "MKL, inside libtorch", "");
  if (found.empty())
    return judged(Verdict::kNote, "none is loaded as a library of its own",
                  "libtorch brings one of its own, or does without");
  const std::string names = join(found, " and ");
  if (found.size() > 1)
    return judged(Verdict::kWrong, names + ": more than one is loaded", kInstallOpenblas);
  const std::string& one = found.front();
  if (one == kPthreads && !openmp.empty())
    return judged(Verdict::kWrong,
                  fmt::format("{} beside {}: two pools of threads fight over the same processors",
                              one, names_of(openmp)),
                  kInstallOpenblas);
  if (one == kReference)
    return judged(Verdict::kWrong, one + ": many times slower than it could be", kInstallOpenblas);
  if (one == kSerial)
    return judged(Verdict::kNote, one + ": one thread for all processors", kInstallOpenblas);
  if (one == kSomeOpenblas)
    return judged(Verdict::kNote, one, "its flavour cannot be told; OpenMP's is the one to have");
  return judged(Verdict::kOk, one, "");
}

Check judge_lapack(const Libraries& mapped, int openblas_parallel) {
  const Libraries found = implementations(mapped, {"liblapack", "libmkl"}, openblas_parallel);
  if (found.empty()) return {"lapack", "none of its own", Verdict::kOk, ""};
  const std::string names = join(found, " and ");
  const bool pthreads = std::find(found.begin(), found.end(), kPthreads) != found.end();
  if (found.size() > 1)
    return {"lapack", names + ": more than one is loaded", Verdict::kWrong, kInstallOpenblas};
  if (pthreads && !openmp_runtimes(mapped).empty())
    return {"lapack", names + ": brings a second pool of threads", Verdict::kWrong,
            kInstallOpenblas};
  if (found.front() == kReference)
    return {"lapack", names + ": slow decompositions, which no run needs", Verdict::kNote,
            kInstallOpenblas};
  return {"lapack", names, Verdict::kOk, ""};
}

Check judge_openmp(const Libraries& mapped) {
  const Libraries found = openmp_runtimes(mapped);
  if (found.size() == 1) return {"openmp", found.front(), Verdict::kOk, ""};
  if (found.empty())
    return {"openmp", "none is loaded: one thread does all the work", Verdict::kNote,
            "apt-get install libtorch-dev libopenblas0-openmp, which share libgomp1"};
  return {"openmp", join(found, " and ") + ": two pools of threads fight over the same processors",
          Verdict::kWrong,
          "apt-get install libtorch-dev libopenblas0-openmp, which share libgomp1, and build "
          "against them; or with another libtorch, LD_PRELOAD its own copy"};
}

}  // namespace fathom
