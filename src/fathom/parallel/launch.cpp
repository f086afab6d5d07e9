#include "fathom/parallel/launch.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <utility>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/lines.h"
#include "fathom/base/text.h"

namespace fathom {
namespace {

constexpr int kMostRanks = 1 << 20;
constexpr char kAddress[] = "MASTER_ADDR";
constexpr char kPort[] = "MASTER_PORT";

// The variables of one launcher. A null name: it has none of the kind.
struct Names {
  const char* by;
  const char* rank;
  const char* size;
  const char* local_rank;
  const char* local_size;
  const char* more;  // what else of them shows that it was this launcher
};
constexpr Names kTorchrun = {"torchrun",         "RANK",      "WORLD_SIZE", "LOCAL_RANK",
                             "LOCAL_WORLD_SIZE", "LOCAL_RANK"};
constexpr Names kLocal = {"--nproc",          "RANK", "WORLD_SIZE", "LOCAL_RANK",
                          "LOCAL_WORLD_SIZE", kRanks};
constexpr Names kOpenMpi = {"mpirun",
                            "OMPI_COMM_WORLD_RANK",
                            "OMPI_COMM_WORLD_SIZE",
                            "OMPI_COMM_WORLD_LOCAL_RANK",
                            "OMPI_COMM_WORLD_LOCAL_SIZE",
                            nullptr};
constexpr Names kSlurm = {"srun",          "SLURM_PROCID", "SLURM_STEP_NUM_TASKS",
                          "SLURM_LOCALID", nullptr,        nullptr};
constexpr Names kMpich = {"mpirun",          "PMI_RANK",        "PMI_SIZE",
                          "MPI_LOCALRANKID", "MPI_LOCALNRANKS", nullptr};

class Reader {
 public:
  Reader(const Environment& environment, const Names& names)
      : environment_(environment), names_(names) {}

  // Set to nothing is not set.
  std::optional<std::string> text(const char* name) const {
    if (name == nullptr) return std::nullopt;
    auto value = environment_(name);
    return value && trim(*value).empty() ? std::nullopt : value;
  }
  bool has(const char* name) const { return text(name).has_value(); }
  bool shows_ranks() const { return has(names_.rank) || has(names_.size) || has(names_.more); }

  [[noreturn]] void miss(const char* name, const std::string& with) const {
    misuse(fmt::format("{} is not set, though {} is", name, with),
           fmt::format("{} sets them all; {}", names_.by, how_to_be_alone()));
  }
  int number(const char* name, int low, int high) const {
    const std::optional<std::string> value = text(name);
    const auto read = value ? parse_number<int>(trim(*value)) : std::nullopt;
    if (!read || *read < low || *read > high)
      misuse(fmt::format("{} = {} is no whole number from {} to {}", name,
                         quoted_start(value.value_or("")), low, high),
             fmt::format("{} sets it; {}", names_.by, how_to_be_alone()));
    return *read;
  }
  int number_of(const char* name, const char* with, int low, int high) const {
    if (!has(name)) miss(name, with);
    return number(name, low, high);
  }

 private:
  // One that is left of a launcher's variables would be taken for half of them.
  std::string how_to_be_alone() const {
    std::vector<std::string> set;
    for (const char* name :
         {kRanks, names_.rank, names_.size, names_.local_rank, names_.local_size, names_.more})
      if (has(name) && std::find(set.begin(), set.end(), name) == set.end()) set.emplace_back(name);
    return "to train in one process, unset " + join(set, " ");
  }

  const Environment& environment_;
  const Names& names_;
};

// Ranks, as far as the launcher has variables for them.
Launch ranks_of(const Reader& in, const Names& names) {
  const char* given = in.has(names.rank)   ? names.rank
                      : in.has(names.size) ? names.size
                                           : names.more;
  Launch launch;
  launch.by = names.by;
  launch.size = in.number_of(names.size, given, 1, kMostRanks);
  launch.rank = in.number_of(names.rank, given, 0, launch.size - 1);
  return launch;
}

void set_local_ranks(const Reader& in, const Names& names, Launch& launch) {
  const char* given = in.has(names.local_rank) ? names.local_rank : names.rank;
  launch.local_size = in.number_of(names.local_size, given, 1, launch.size);
  launch.local_rank = in.number_of(names.local_rank, names.local_size, 0, launch.local_size - 1);
}

// 15,000 to 29,999: below what systems give to those who ask for any port. Jobs beside one another
// should differ.
int port_of_job(std::string_view job) {
  uint32_t hash = 2166136261U;  // FNV-1a
  for (const char c : job) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return 15000 + static_cast<int>(hash % 15000);
}

// `node`: of rank 0, empty where the launcher does not tell. `job`: the same.
void set_meeting_place(const Reader& in, const std::string& node, const std::string& job,
                       Launch& launch) {
  if (const auto address = in.text(kAddress))
    launch.address = std::string(trim(*address));
  else if (launch.is_local())
    launch.address = "127.0.0.1";
  else if (!node.empty())
    launch.address = node;
  else
    misuse(
        fmt::format("{} is not set, and {} does not tell where rank 0 runs", kAddress, launch.by),
        fmt::format("set {} to the name or address of rank 0's machine, for all ranks ({})",
                    kAddress, "mpirun -x MASTER_ADDR=HOST -n N fathom train ..."));
  if (in.has(kPort))
    launch.port = in.number(kPort, 1, 65535);
  else if (!job.empty())
    launch.port = port_of_job(job);
  else
    misuse(fmt::format("{} is not set, and {} gives the job no number to choose one by", kPort,
                       launch.by),
           fmt::format("set {} to a port that is free on rank 0's machine, for all ranks", kPort));
}

Launch by_torchrun(const Reader& in) {
  Launch launch = ranks_of(in, kTorchrun);
  // Kubernetes' training operator starts one process a machine and says nothing of local ranks.
  if (in.has(kTorchrun.local_rank) || in.has(kTorchrun.local_size))
    set_local_ranks(in, kTorchrun, launch);
  if (launch.size > 1) {
    launch.address = std::string(trim(in.text(kAddress).value_or("")));
    if (launch.address.empty()) in.miss(kAddress, kTorchrun.size);
    launch.port = in.number_of(kPort, kTorchrun.size, 1, 65535);
    launch.store_is_there = in.text("TORCHELASTIC_USE_AGENT_STORE").value_or("") == "True";
    // It gives the machine's name, which the machine itself need not know.
    if (launch.is_local() && !launch.store_is_there) launch.address = "127.0.0.1";
  }
  launch.has_default_threads = in.has(kTorchrunRun) && launch.local_size > 1 &&
                               in.text("OMP_NUM_THREADS").value_or("") == "1";
  launch.ends_all = launch.leaves_alone = in.has(kTorchrunRun);
  // "none" is nobody's: torchrun says it where it was given no --rdzv_id.
  launch.id = in.text(kTorchrunRun).value_or("");
  if (launch.id == "none") launch.id.clear();
  launch.parent = getppid();
  launch.error_file = in.text("TORCHELASTIC_ERROR_FILE").value_or("");
  if (in.has("TORCHELASTIC_RESTART_COUNT"))
    launch.restarts = in.number("TORCHELASTIC_RESTART_COUNT", 0, kMostRanks);
  launch.may_restart =
      launch.restarts > 0 || (in.has("TORCHELASTIC_MAX_RESTARTS") &&
                              in.number("TORCHELASTIC_MAX_RESTARTS", 0, kMostRanks) > 0);
  return launch;
}

Launch by_open_mpi(const Reader& in) {
  Launch launch = ranks_of(in, kOpenMpi);
  set_local_ranks(in, kOpenMpi, launch);
  launch.is_bound = in.text("OMPI_MCA_orte_bound_at_launch").value_or("") == "1";
  launch.ends_all = true;
  // Of Open MPI 5 and 4, and of 4 and older.
  const std::string job =
      in.text("PMIX_NAMESPACE").value_or(in.text("OMPI_MCA_ess_base_jobid").value_or(""));
  if (launch.size > 1) set_meeting_place(in, "", job, launch);
  return launch;
}

Launch by_slurm(const Reader& in) {
  Launch launch = ranks_of(in, kSlurm);
  const char* tasks = "SLURM_STEP_TASKS_PER_NODE";
  const char* nodes = "SLURM_STEP_NODELIST";
  const auto per_node = in.text(tasks);
  if (!per_node) in.miss(tasks, kSlurm.rank);
  const int node = in.number_of("SLURM_NODEID", kSlurm.rank, 0, kMostRanks);
  launch.local_size = tasks_of_node(*per_node, node);
  if (launch.local_size > launch.size)
    misuse(fmt::format("{} = {} gives node {} more tasks than {} = {}", tasks,
                       quoted_start(*per_node), node, kSlurm.size, launch.size),
           "srun sets both; do not set them by hand");
  launch.local_rank = in.number_of(kSlurm.local_rank, kSlurm.rank, 0, launch.local_size - 1);
  // Only a mask gives each task its own: threads, cores and the like name what masks are made of.
  const std::string bind = in.text("SLURM_CPU_BIND_TYPE").value_or("");
  launch.is_bound = bind.find("mask_cpu") == 0 || bind.find("map_cpu") == 0;
  launch.restarts =
      in.has("SLURM_RESTART_COUNT") ? in.number("SLURM_RESTART_COUNT", 0, kMostRanks) : 0;
  launch.may_restart = launch.restarts > 0;
  launch.id = in.text("SLURM_JOB_ID").value_or("");
  if (launch.size == 1) return launch;
  const auto list = in.text(nodes);
  if (!list && !in.has(kAddress)) in.miss(nodes, kSlurm.rank);
  const std::string step = in.text("SLURM_STEP_ID").value_or("");
  set_meeting_place(in, list ? first_node(*list) : "",
                    launch.id.empty() ? "" : launch.id + "." + step, launch);
  return launch;
}

Launch by_mpich(const Reader& in) {
  Launch launch = ranks_of(in, kMpich);
  set_local_ranks(in, kMpich, launch);
  if (launch.size > 1) set_meeting_place(in, "", "", launch);
  return launch;
}

[[noreturn]] void refuse_list(const char* what, const std::string& list) {
  misuse(fmt::format("{} is no list of {} as Slurm writes it", quoted_start(list), what),
         "set MASTER_ADDR to rank 0's machine and start the ranks by torchrun's variables (RANK, "
         "WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_PORT)");
}

bool belongs_to_a_name(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
         c == '.' || c == '_';
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// What the process that has started ranks by --nproc is to its launcher: handed_on().
void set_launch_around(const std::string& text, Launch& launch) {
  constexpr size_t kNumbers = 3, kWords = kNumbers + 2;  // an id may have any letters
  std::vector<std::string> words = {""};
  for (const char c : text)
    if (c == '/' && words.size() < kWords)
      words.emplace_back();
    else
      words.back() += c;
  std::vector<int> numbers;
  for (size_t i = 0; i < std::min(kNumbers, words.size()); ++i)
    if (const auto number = parse_number<int>(words[i])) numbers.push_back(*number);
  if (words.size() != kWords || numbers.size() != kNumbers)
    misuse(
        fmt::format("{} = {} is not what --nproc says to its ranks", kRanksLaunch,
                    quoted_start(text)),
        fmt::format("--nproc sets it; to train in one process, unset {} {}", kRanks, kRanksLaunch));
  launch.restarts = numbers[0];
  launch.may_restart = numbers[1] != 0;
  launch.leaves_alone = numbers[2] != 0;
  launch.by = words[kNumbers];
  launch.id = words[kNumbers + 1];
  launch.parent = getppid();
}

}  // namespace

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
}

Launch launch_of(const Environment& environment) {
  // Before Slurm's, for an allocation's variables are there under other launchers too.
  const Reader local(environment, kLocal);
  if (const std::optional<std::string> descriptors = local.text(kRanks)) {
    Launch launch = ranks_of(local, kLocal);
    set_local_ranks(local, kLocal, launch);
    set_meeting_files(*descriptors, launch);
    if (const auto around = environment(kRanksLaunch)) set_launch_around(*around, launch);
    return launch;
  }
  const Reader torchrun(environment, kTorchrun);
  if (torchrun.shows_ranks()) return by_torchrun(torchrun);
  const Reader mpirun(environment, kOpenMpi);
  if (mpirun.shows_ranks()) return by_open_mpi(mpirun);
  // A batch script has SLURM_PROCID too, and is one process: only a step has tasks.
  const Reader srun(environment, kSlurm);
  if (srun.has("SLURM_STEP_ID") || srun.has(kSlurm.size)) {
    if (srun.has(kSlurm.rank) || srun.has(kSlurm.size)) return by_slurm(srun);
  }
  const Reader mpich(environment, kMpich);
  if (mpich.shows_ranks()) return by_mpich(mpich);
  return {};
}

std::string handed_on(const Launch& around) {
  return fmt::format("{}/{:d}/{:d}/{}/{}", around.restarts, around.may_restart, around.leaves_alone,
                     around.by, around.id);
}

std::chrono::seconds echo_of(const Launch& launch) {
  // --nproc keeps its ranks out of the terminal's reach, and passes on the first alone.
  return std::chrono::seconds(launch.by.empty() || !launch.file.empty() ? 0 : 3);
}

void set_meeting_files(const std::string& descriptors, Launch& launch) {
  const size_t comma = descriptors.find(',');
  for (const auto& [text, file] :
       {std::pair{descriptors.substr(0, comma), &launch.file},
        {comma == std::string::npos ? "" : descriptors.substr(comma + 1), &launch.counters}}) {
    const auto descriptor = parse_number<int>(text);
    std::error_code none;
    if (descriptor) {
      *file = fmt::format("/proc/self/fd/{}", *descriptor);
      const std::string is = std::filesystem::read_symlink(*file, none);
      if (is.rfind(fmt::format("/memfd:{}", kRanksMemory), 0) == 0) continue;
    }
    if (!std::filesystem::exists("/proc/self", none))
      fail("/proc is not there, by which the ranks of --nproc find the files where they meet",
           "mount it (`mount -t proc proc /proc`), or train in one process, without --nproc");
    misuse(fmt::format("{} = {} is left over from ranks that --nproc has started, of which this "
                       "process is none",
                       kRanks, quoted_start(descriptors)),
           fmt::format("unset {} RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE", kRanks));
  }
}

std::chrono::seconds patience_with_errors(const Launch& launch) {
  return launch.ends_all && launch.local_rank > 0 ? kEndedByLauncher : std::chrono::seconds(0);
}

std::optional<std::string> crowding_note(const Launch& launch, int processors) {
  if (launch.is_bound || launch.local_size <= processors) return std::nullopt;
  return fmt::format("{} ranks take turns on {}: they are no faster than {}", launch.local_size,
                     counted(processors, "processor", "processors"),
                     processors == 1 ? "one process" : fmt::format("{} ranks", processors));
}

// NAMES of lists: names with any number of [a-b,c] in them, with commas between.
std::string first_node(const std::string& list) {
  std::string name;
  size_t at = 0;
  while (at < list.size() && list[at] != ',') {
    if (list[at] != '[') {
      if (!belongs_to_a_name(list[at])) refuse_list("nodes", list);
      name += list[at++];
      continue;
    }
    const size_t first = ++at;
    while (at < list.size() && is_digit(list[at])) ++at;
    if (at == first) refuse_list("nodes", list);
    name.append(list, first, at - first);
    const size_t end = list.find(']', at);
    if (end == std::string::npos ||
        list.substr(at, end - at).find_first_not_of("0123456789,-") != std::string::npos)
      refuse_list("nodes", list);
    at = end + 1;
  }
  if (name.empty() || name.size() > 253) refuse_list("nodes", list);
  return name;
}

int tasks_of_node(const std::string& tasks_per_node, int node) {
  std::string_view rest = tasks_per_node;
  int64_t nodes = 0;
  const auto number = [&] {
    size_t n = 0;
    while (n < rest.size() && is_digit(rest[n])) ++n;
    const auto read = parse_number<int>(rest.substr(0, n));
    if (!read || *read < 1) refuse_list("tasks per node", tasks_per_node);
    rest.remove_prefix(n);
    return *read;
  };
  while (true) {
    const int tasks = number();
    int times = 1;
    if (rest.substr(0, 2) == "(x") {
      rest.remove_prefix(2);
      times = number();
      if (rest.substr(0, 1) != ")") refuse_list("tasks per node", tasks_per_node);
      rest.remove_prefix(1);
    }
    nodes += times;
    if (node < nodes) return tasks;
    if (rest.substr(0, 1) != ",") refuse_list("tasks per node", tasks_per_node);
    rest.remove_prefix(1);
  }
}

}  // namespace fathom
