# Every folder src/fathom/cli/<verb>/ that has a verb.cpp is a verb, and so is every folder
# verbs/<verb>/ of an experiment: it defines `Verb verb_<folder>()`, and in its engine*.cpp, if it needs
# tensors, `int run_<folder>_in_engine(const Arguments&)`. This writes the two lists of them:
# registration by static initialisers would vanish from static libraries. The engine*.cpp belong to
# fathom-engine, all else to both programs.
#
# The lists and the experiments' verbs are libraries of their own, fathom_verbs and fathom_engine_verbs:
# where the others are those of FATHOM_BUILT, they are compiled, with the verbs of FATHOM_EXPERIMENTS.
file(GLOB verb_files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/fathom/cli/*/verb.cpp)
list(SORT verb_files)
foreach(folder IN LISTS experiment_folders)
  file(GLOB verb_folders CONFIGURE_DEPENDS ${folder}/verbs/*)
  foreach(verb_folder IN LISTS verb_folders)
    if(NOT IS_DIRECTORY ${verb_folder})
      continue()
    endif()
    if(NOT EXISTS ${verb_folder}/verb.cpp)
      message(FATAL_ERROR "${verb_folder} has no verb.cpp: verbs/ has a folder for each verb "
                          "(docs/new-experiment.md)")
    endif()
    list(APPEND verb_files ${verb_folder}/verb.cpp)
  endforeach()
endforeach()

set(verb_names "")
set(verb_sources "")
set(verb_engine_sources "")
set(experiment_verb_sources "")
set(experiment_verb_engine_sources "")
set(verb_declarations "")
set(verb_calls "")
set(engine_verb_declarations "")
set(engine_verb_calls "")
foreach(file IN LISTS verb_files)
  get_filename_component(folder ${file} DIRECTORY)
  get_filename_component(verb ${folder} NAME)
  string(MAKE_C_IDENTIFIER ${verb} name)
  if(name IN_LIST verb_names)
    message(FATAL_ERROR "two verbs are called ${name}; the second is ${folder}")
  endif()
  list(APPEND verb_names ${name})
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.cpp)
  set(engine_parts ${sources})
  list(FILTER engine_parts INCLUDE REGEX "/engine[^/]*\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "/engine[^/]*\\.cpp$")
  string(FIND ${folder} ${PROJECT_SOURCE_DIR}/src/ is_ours)
  set(whose "experiment_")
  if(is_ours EQUAL 0)
    set(whose "")
  endif()
  list(APPEND ${whose}verb_sources ${sources})
  list(APPEND ${whose}verb_engine_sources ${engine_parts})
  string(APPEND verb_declarations "Verb verb_${name}();\n")
  string(APPEND verb_calls "      verb_${name}(),\n")
  if(engine_parts)
    string(APPEND engine_verb_declarations "int run_${name}_in_engine(const Arguments& arguments);\n")
    string(APPEND engine_verb_calls "      {\"${verb}\", run_${name}_in_engine},\n")
  endif()
endforeach()

configure_file(${PROJECT_SOURCE_DIR}/cmake/verbs.cpp.in
               ${PROJECT_BINARY_DIR}/generated/verbs.cpp @ONLY)
configure_file(${PROJECT_SOURCE_DIR}/cmake/engine_verbs.cpp.in
               ${PROJECT_BINARY_DIR}/generated/engine_verbs.cpp @ONLY)
list(APPEND experiment_verb_sources ${PROJECT_BINARY_DIR}/generated/verbs.cpp)
list(APPEND experiment_verb_engine_sources ${PROJECT_BINARY_DIR}/generated/engine_verbs.cpp)

# The completion scripts of shells, as text in the program.
set(completion_scripts "")
foreach(shell bash zsh fish)
  set(script ${PROJECT_SOURCE_DIR}/src/fathom/cli/completion/fathom.${shell})
  file(READ ${script} text)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${script})
  string(APPEND completion_scripts "      {\"${shell}\", R\"script(${text})script\"},\n")
endforeach()
configure_file(${PROJECT_SOURCE_DIR}/cmake/completion.cpp.in
               ${PROJECT_BINARY_DIR}/generated/completion.cpp @ONLY)
list(APPEND verb_sources ${PROJECT_BINARY_DIR}/generated/completion.cpp)
