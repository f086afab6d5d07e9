// Who a process is, by what torchrun, mpirun and srun set. Open MPI's variables are as
// version 4.1.4 sets them, MPICH's as 4.0.2 does; torchrun's and Slurm's as their documentation
// says.
#include "fathom/parallel/launch.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <sstream>

#include "errors.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using testing::caught;
using ::testing::HasSubstr;
using ::testing::Not;
using Variables = std::map<std::string, std::string>;

Launch launched(const Variables& variables) {
  return launch_of([&](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  });
}
Variables with(Variables variables, const std::string& name, const std::string& value) {
  variables[name] = value;
  return variables;
}
Variables without(Variables variables, const std::string& name) {
  variables.erase(name);
  return variables;
}

const Variables kTorchrun = {{"RANK", "5"},
                             {"WORLD_SIZE", "8"},
                             {"LOCAL_RANK", "1"},
                             {"LOCAL_WORLD_SIZE", "4"},
                             {"MASTER_ADDR", "node0"},
                             {"MASTER_PORT", "29500"},
                             {"TORCHELASTIC_RUN_ID", "none"},
                             {"TORCHELASTIC_RESTART_COUNT", "0"},
                             {"TORCHELASTIC_MAX_RESTARTS", "0"},
                             {"TORCHELASTIC_USE_AGENT_STORE", "False"}};
const Variables kOpenMpi = {{"OMPI_COMM_WORLD_RANK", "1"},
                            {"OMPI_COMM_WORLD_SIZE", "2"},
                            {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                            {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                            {"OMPI_MCA_ess_base_jobid", "271581185"},
                            {"PMIX_NAMESPACE", "271581185"},
                            {"PMIX_RANK", "1"}};
const Variables kMpich = {
    {"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"MPI_LOCALRANKID", "1"}, {"MPI_LOCALNRANKS", "2"}};
const Variables kSlurm = {{"SLURM_JOB_ID", "4711"},
                          {"SLURM_STEP_ID", "0"},
                          {"SLURM_PROCID", "4"},
                          {"SLURM_NTASKS", "5"},
                          {"SLURM_STEP_NUM_TASKS", "5"},
                          {"SLURM_LOCALID", "0"},
                          {"SLURM_NODEID", "2"},
                          {"SLURM_STEP_TASKS_PER_NODE", "2(x2),1"},
                          {"SLURM_STEP_NODELIST", "n[08-10]"}};

TEST(Launch, NobodyIsOneProcess) {
  const Launch launch = launched({{"MASTER_ADDR", "left"}, {"MASTER_PORT", "over"}});
  EXPECT_EQ(launch.size, 1);
  EXPECT_TRUE(launch.is_first());
  EXPECT_EQ(launch.by, "");
}

TEST(Launch, Torchrun) {
  const Launch launch = launched(kTorchrun);
  EXPECT_EQ(launch.rank, 5);
  EXPECT_EQ(launch.size, 8);
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_EQ(launch.local_size, 4);
  EXPECT_EQ(launch.address, "node0");
  EXPECT_EQ(launch.port, 29500);
  EXPECT_EQ(launch.by, "torchrun");
  EXPECT_FALSE(launch.is_local() || launch.store_is_there || launch.may_restart);
  EXPECT_TRUE(launch.ends_all && launch.leaves_alone);
  EXPECT_FALSE(launched(without(kTorchrun, "TORCHELASTIC_RUN_ID")).ends_all);
  EXPECT_EQ(launched(with(kTorchrun, "TORCHELASTIC_ERROR_FILE", "/tmp/e")).error_file, "/tmp/e");
  EXPECT_TRUE(launched(with(kTorchrun, "TORCHELASTIC_USE_AGENT_STORE", "True")).store_is_there);
  // All on one machine, whose name nobody has to know, unless another one has the store.
  const Variables local = with(kTorchrun, "LOCAL_WORLD_SIZE", "8");
  EXPECT_EQ(launched(local).address, "127.0.0.1");
  EXPECT_EQ(launched(with(local, "TORCHELASTIC_USE_AGENT_STORE", "True")).address, "node0");
  // Inside of an allocation, whose variables are there too.
  Variables both = kSlurm;
  both.insert(kTorchrun.begin(), kTorchrun.end());
  EXPECT_EQ(launched(both).size, 8);
  // One process a machine, by who says nothing of local ranks.
  const Launch one = launched(without(without(kTorchrun, "LOCAL_RANK"), "LOCAL_WORLD_SIZE"));
  EXPECT_EQ(one.local_size, 1);
}

TEST(Launch, TorchrunsRestarts) {
  EXPECT_TRUE(launched(with(kTorchrun, "TORCHELASTIC_MAX_RESTARTS", "3")).may_restart);
  const Launch again = launched(with(kTorchrun, "TORCHELASTIC_RESTART_COUNT", "2"));
  EXPECT_EQ(again.restarts, 2);
  EXPECT_TRUE(again.may_restart);
}

// What is the same over restarts and another one's otherwise; torchrun says "none" where nobody
// has given it a name.
TEST(Launch, HasTheNameThatItsLauncherGivesIt) {
  EXPECT_EQ(launched(kTorchrun).id, "");
  EXPECT_EQ(launched(with(kTorchrun, "TORCHELASTIC_RUN_ID", "5f3c")).id, "5f3c");
  EXPECT_EQ(launched(without(kTorchrun, "TORCHELASTIC_RUN_ID")).id, "");
  EXPECT_EQ(launched(with(kSlurm, "SLURM_STEP_ID", "1")).id, "4711") << "of a job, of any step";
  EXPECT_EQ(launched(with(kSlurm, "SLURM_RESTART_COUNT", "2")).id, "4711");
  EXPECT_EQ(launched(kOpenMpi).id + launched({}).id, "");
}

TEST(Launch, WhoIsEndedWithTheFirstOfAMachineKeepsAnErrorToItself) {
  EXPECT_EQ(patience_with_errors(launched(kTorchrun)), kEndedByLauncher);
  EXPECT_EQ(patience_with_errors(launched(with(kTorchrun, "LOCAL_RANK", "0"))).count(), 0);
  EXPECT_EQ(patience_with_errors(launched(without(kTorchrun, "TORCHELASTIC_RUN_ID"))).count(), 0);
}

// It says 1 where the user has said nothing; who is alone on a machine is not meddled with.
TEST(Launch, TorchrunsThreadsAreNobodysWord) {
  const Variables one = with(kTorchrun, "OMP_NUM_THREADS", "1");
  EXPECT_TRUE(launched(one).has_default_threads);
  EXPECT_FALSE(launched(with(one, "OMP_NUM_THREADS", "2")).has_default_threads);
  EXPECT_FALSE(launched(without(one, "TORCHELASTIC_RUN_ID")).has_default_threads);
}

TEST(Launch, HalfOfTorchrunsVariablesAreRefused) {
  for (const char* name :
       {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}) {
    const Error error = caught([&] { launched(without(kTorchrun, name)); });
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), HasSubstr(std::string(name) + " is not set, though ")) << name;
  }
  EXPECT_THAT(caught([] { launched({{"LOCAL_RANK", "0"}}); }).what(), HasSubstr("WORLD_SIZE"));
  for (const auto& [name, value] : {std::pair{"RANK", "8"},
                                    {"RANK", "-1"},
                                    {"WORLD_SIZE", "0"},
                                    {"WORLD_SIZE", "eight"},
                                    {"LOCAL_RANK", "4"},
                                    {"LOCAL_WORLD_SIZE", "9"},
                                    {"MASTER_PORT", "65536"}})
    EXPECT_THAT(
        caught([&, name = name, value = value] { launched(with(kTorchrun, name, value)); }).what(),
        AllOf(HasSubstr(name), HasSubstr(value)));
}

// Whoever follows it is alone, whichever variable was missing.
TEST(Launch, HintsSayWhatToUnset) {
  for (const Variables& variables : {kTorchrun, kOpenMpi, kMpich, kSlurm})
    for (const auto& removed : variables) {
      Variables left = without(variables, removed.first);
      Error error(ErrorKind::kUsage, "", "");
      try {
        launched(left);
        continue;
      } catch (const Error& e) {
        error = e;
      }
      const std::string before = "to train in one process, unset ";
      const size_t at = error.hint().find(before);
      if (at == std::string::npos) continue;  // it says what to set
      std::istringstream names(error.hint().substr(at + before.size()));
      for (std::string name; names >> name;) EXPECT_EQ(left.erase(name), 1U) << name;
      EXPECT_EQ(launched(left).size, 1) << error.what() << "\n" << error.hint();
    }
}

// A process of its own, which may hide /proc from itself where that is allowed.
TEST(Launch, WithoutProcRanksOfOneMachineSayWhatIsMissing) {
  const pid_t child = fork();
  if (child == 0) {
    const int files[] = {memfd_create(kRanksMemory, 0), memfd_create(kRanksMemory, 0)};
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, "") != 0 ||
        mount("none", "/proc", "tmpfs", 0, "") != 0)
      _exit(77);
    Launch launch;
    const Error error =
        caught([&] { set_meeting_files(fmt::format("{},{}", files[0], files[1]), launch); });
    _exit(std::string(error.what()).rfind("/proc is not there", 0) == 0 ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "no mounts of its own here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

// Of --nproc, which gives its ranks files that nobody else has.
TEST(Launch, WhatIsLeftOfRanksIsNoPlaceToMeet) {
  Variables left = {
      {"RANK", "1"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "1"}, {"LOCAL_WORLD_SIZE", "2"}};
  for (const char* files : {"0,1", "700,701", "x", ",", "7"}) {
    left["FATHOM_RANKS"] = files;
    const Error error = caught([&] { launched(left); });
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), HasSubstr("left over from ranks that --nproc has started"));
    EXPECT_EQ(error.hint(), "unset FATHOM_RANKS RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE");
  }
  EXPECT_EQ(caught([] {
              launched({{"FATHOM_RANKS", "7,8"}});
            }).hint(),
            "--nproc sets them all; to train in one process, unset FATHOM_RANKS");
  const int file = memfd_create("fathom-ranks", 0), counters = memfd_create("fathom-ranks", 0);
  left["FATHOM_RANKS"] = std::to_string(file) + "," + std::to_string(counters);
  const Launch launch = launched(left);
  EXPECT_EQ(launch.by, "--nproc");
  EXPECT_EQ(launch.file, "/proc/self/fd/" + std::to_string(file));
  EXPECT_EQ(launch.counters, "/proc/self/fd/" + std::to_string(counters));
  close(file), close(counters);
}

// What --nproc has started is of the launcher of the one process that did.
TEST(Launch, RanksOfOneTaskAreItsLaunchers) {
  const int file = memfd_create(kRanksMemory, 0), counters = memfd_create(kRanksMemory, 0);
  const Variables ranks = {{kRanks, fmt::format("{},{}", file, counters)},
                           {"RANK", "1"},
                           {"WORLD_SIZE", "2"},
                           {"LOCAL_RANK", "1"},
                           {"LOCAL_WORLD_SIZE", "2"}};
  const auto within = [&](Variables around) {
    if (const Launch starter = launched(around); !starter.by.empty())
      around[kRanksLaunch] = handed_on(starter);
    for (const auto& [name, value] : ranks) around[name] = value;
    const Launch launch = launched(around);
    EXPECT_EQ(launch.rank, 1);
    EXPECT_EQ(launch.size, 2);
    EXPECT_NE(launch.file, "");
    EXPECT_FALSE(launch.ends_all || launch.store_is_there || launch.has_default_threads);
    return launch;
  };
  const Variables task = {
      {"SLURM_JOB_ID", "4711"},          {"SLURM_STEP_ID", "0"}, {"SLURM_PROCID", "0"},
      {"SLURM_STEP_NUM_TASKS", "1"},     {"SLURM_LOCALID", "0"}, {"SLURM_NODEID", "0"},
      {"SLURM_STEP_TASKS_PER_NODE", "1"}};
  for (const char* restarts : {"0", "2"}) {
    const Variables job = with(task, "SLURM_RESTART_COUNT", restarts);
    const Launch one = launched(job), of_two = within(job);
    EXPECT_EQ(of_two.by + of_two.id, "srun4711");
    EXPECT_EQ(of_two.by + of_two.id, one.by + one.id);
    EXPECT_EQ(of_two.restarts, one.restarts);
    EXPECT_EQ(of_two.may_restart, *restarts == '2');
    EXPECT_FALSE(of_two.leaves_alone);
  }
  const Launch again = within(
      with(with(kTorchrun, "TORCHELASTIC_RESTART_COUNT", "1"), "TORCHELASTIC_RUN_ID", "5f/3c"));
  EXPECT_EQ(again.by + again.id, "torchrun5f/3c");
  EXPECT_EQ(again.restarts, 1);
  EXPECT_TRUE(again.may_restart && again.leaves_alone);
  EXPECT_EQ(again.parent, getppid());
  const Launch plain = within({{"SLURM_JOB_ID", "4711"}, {"SLURM_PROCID", "0"}});
  EXPECT_EQ(plain.by + plain.id, "--nproc") << "a batch script is no step";
  EXPECT_FALSE(plain.may_restart || plain.leaves_alone);
  // Nobody asks the variables of a launcher that the starter has not gone by.
  const Launch single = within({{"RANK", "0"}, {"WORLD_SIZE", "1"}, {"PMI_RANK", "0"}});
  EXPECT_EQ(single.by + single.id, "torchrun");
  for (const char* other : {"", "x", "1/0/0/srun", "1/0/x/srun/7"}) {
    const Error error = caught([&] { launched(with(ranks, kRanksLaunch, other)); });
    EXPECT_EQ(error.kind(), ErrorKind::kUsage) << other;
    EXPECT_THAT(error.what(), HasSubstr("is not what --nproc says")) << other;
  }
  close(file), close(counters);
}

TEST(Launch, RanksThatTakeTurnsAreTold) {
  Launch launch = launched(kTorchrun);
  EXPECT_FALSE(crowding_note(launch, 4));
  EXPECT_EQ(crowding_note(launch, 2),
            "4 ranks take turns on 2 processors: they are no faster than 2 ranks");
  EXPECT_THAT(*crowding_note(launch, 1), HasSubstr("1 processor: they are no faster than one"));
  launch.is_bound = true;
  EXPECT_FALSE(crowding_note(launch, 1)) << "each has its own";
}

TEST(Launch, OpenMpi) {
  const Launch launch = launched(kOpenMpi);
  EXPECT_EQ(launch.rank, 1);
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_TRUE(launch.is_local());
  EXPECT_EQ(launch.address, "127.0.0.1");
  EXPECT_GE(launch.port, 15000);
  EXPECT_LT(launch.port, 30000);
  EXPECT_EQ(launched(with(kOpenMpi, "OMPI_COMM_WORLD_RANK", "0")).port, launch.port);
  EXPECT_NE(launched(with(kOpenMpi, "PMIX_NAMESPACE", "271581186")).port, launch.port);
  EXPECT_FALSE(launch.is_bound);
  EXPECT_TRUE(launched(with(kOpenMpi, "OMPI_MCA_orte_bound_at_launch", "1")).is_bound);
  EXPECT_THAT(caught([] { launched(without(kOpenMpi, "OMPI_COMM_WORLD_SIZE")); }).what(),
              HasSubstr("OMPI_COMM_WORLD_SIZE"));
}

TEST(Launch, MpirunOnSeveralMachinesNeedsAnAddress) {
  const Variables two =
      with(with(kOpenMpi, "OMPI_COMM_WORLD_LOCAL_SIZE", "1"), "OMPI_COMM_WORLD_LOCAL_RANK", "0");
  const Error error = caught([&] { launched(two); });
  EXPECT_THAT(error.what(), HasSubstr("MASTER_ADDR is not set"));
  EXPECT_THAT(error.hint(), HasSubstr("rank 0's machine"));
  const Launch launch = launched(with(with(two, "MASTER_ADDR", " n1 "), "MASTER_PORT", "1234"));
  EXPECT_EQ(launch.address, "n1");
  EXPECT_EQ(launch.port, 1234);
}

TEST(Launch, Mpich) {
  EXPECT_THAT(caught([] { launched(kMpich); }).what(), HasSubstr("MASTER_PORT is not set"));
  const Launch launch = launched(with(kMpich, "MASTER_PORT", "2345"));
  EXPECT_EQ(launch.rank, 1);
  EXPECT_EQ(launch.local_size, 2);
  EXPECT_EQ(launch.port, 2345);
}

TEST(Launch, Slurm) {
  const Launch launch = launched(kSlurm);
  EXPECT_EQ(launch.rank, 4);
  EXPECT_EQ(launch.size, 5);
  EXPECT_EQ(launch.local_rank, 0);
  EXPECT_EQ(launch.local_size, 1);
  EXPECT_EQ(launch.address, "n08");
  EXPECT_EQ(launch.by, "srun");
  EXPECT_FALSE(launch.may_restart);
  EXPECT_TRUE(launched(with(kSlurm, "SLURM_RESTART_COUNT", "1")).may_restart);
  EXPECT_NE(launched(with(kSlurm, "SLURM_STEP_ID", "1")).port, launch.port);
  EXPECT_EQ(launched(with(with(kSlurm, "SLURM_NODEID", "1"), "SLURM_PROCID", "2")).local_size, 2);
  EXPECT_TRUE(launched(with(kSlurm, "SLURM_CPU_BIND_TYPE", "mask_cpu:")).is_bound);
  EXPECT_FALSE(launched(with(kSlurm, "SLURM_CPU_BIND_TYPE", "none")).is_bound);
  for (const char* name : {"SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_STEP_NODELIST",
                           "SLURM_STEP_TASKS_PER_NODE", "SLURM_STEP_NUM_TASKS"})
    EXPECT_THAT(caught([&] { launched(without(kSlurm, name)); }).what(),
                HasSubstr(std::string(name) + " is not set"));
}

// A batch script has an allocation's variables, and is one process until it calls srun.
TEST(Launch, ABatchScriptIsNoStep) {
  Variables batch = {{"SLURM_JOB_ID", "4711"}, {"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}};
  EXPECT_EQ(launched(batch).size, 1);
}

TEST(Launch, FirstNodes) {
  for (const auto& [list, first] :
       std::map<std::string, std::string>{{"login", "login"},
                                          {"a1,a2", "a1"},
                                          {"n[08-10]", "n08"},
                                          {"n[7,9-12],m1", "n7"},
                                          {"rack[01-03,7]-n[1-2].site,other", "rack01-n1.site"}})
    EXPECT_EQ(first_node(list), first);
  for (const char* list : {"", ",a", "n[", "n[1", "n[a-b]", "n[]", "n]", "a b", "n[1-2;3]"})
    EXPECT_THAT(caught([&] { first_node(list); }).what(), HasSubstr("no list of nodes")) << list;
}

TEST(Launch, TasksOfNodes) {
  EXPECT_EQ(tasks_of_node("4", 0), 4);
  EXPECT_EQ(tasks_of_node("4(x2),3", 1), 4);
  EXPECT_EQ(tasks_of_node("4(x2),3", 2), 3);
  for (const char* list : {"", "0", "4(x2", "4(x0)", "4,", "4(x2),3,", "a", "4;3"})
    EXPECT_THAT(caught([&] { tasks_of_node(list, 9); }).what(), HasSubstr("no list of tasks"));
  EXPECT_THAT(caught([] { tasks_of_node("4(x2),3", 3); }).what(), HasSubstr("no list of tasks"));
}

}  // namespace
}  // namespace fathom
