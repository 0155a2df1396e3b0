"""The default ClusterRoles and their bindings, without those of controllers.

A table of facts from upstream's bootstrappolicy/policy.go with the feature gates of the served
minor's defaults. Not code: who reads it is grammar.py.
"""

from __future__ import annotations

from steersman.api.bootstrap.grammar import (
    EVENTS,
    READ,
    READ_UPDATE,
    READ_WRITE,
    WRITE,
    Binding,
    Role,
    rule,
    urls,
)

_SIGNERS = "certificates.k8s.io"
_DYNAMIC = "resource.k8s.io"
_HEALTH = "/healthz /livez /readyz /version /version/"

_EVERYBODY = (
    Role(
        "cluster-admin",
        (
            rule("*", "*", "*"),
            {"nonResourceURLs": ["*"], "verbs": ["*"]},
        ),
    ),
    Role(
        "system:discovery",
        (urls(f"{_HEALTH} /openapi /openapi/* /api /api/* /apis /apis/*"),),
    ),
    Role(
        "system:basic-user",
        (
            rule(
                "create",
                "authorization.k8s.io",
                "selfsubjectaccessreviews selfsubjectrulesreviews",
            ),
            rule("create", "authentication.k8s.io", "selfsubjectreviews"),
        ),
    ),
    Role("system:public-info-viewer", (urls(_HEALTH),)),
    Role(
        "system:monitoring",
        (
            urls("/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*"),
            urls("/flagz"),
            urls("/statusz"),
        ),
    ),
    Role(
        "system:service-account-issuer-discovery",
        (
            urls(
                "/.well-known/openid-configuration /.well-known/openid-configuration/ "
                "/openid/v1/jwks /openid/v1/jwks/"
            ),
        ),
    ),
    Role(
        "system:cluster-trust-bundle-discovery",
        (rule(READ, _SIGNERS, "clustertrustbundles"),),
    ),
)

_POD_STREAMS = "pods/attach pods/exec pods/portforward pods/proxy"
_OLD = "extensions"

_EDIT = (
    rule(READ, "core", f"{_POD_STREAMS} secrets services/proxy"),
    rule("impersonate", "core", "serviceaccounts"),
    rule(WRITE, "core", f"pods {_POD_STREAMS}"),
    rule("create", "core", "pods/eviction"),
    rule(
        WRITE,
        "core",
        "configmaps events persistentvolumeclaims replicationcontrollers "
        "replicationcontrollers/scale secrets serviceaccounts services services/proxy",
    ),
    rule("create", "core", "serviceaccounts/token"),
    rule(
        WRITE,
        "apps",
        "daemonsets deployments deployments/rollback deployments/scale replicasets "
        "replicasets/scale statefulsets statefulsets/scale",
    ),
    rule(WRITE, "autoscaling", "horizontalpodautoscalers"),
    rule(WRITE, "batch", "cronjobs jobs"),
    rule(
        WRITE,
        _OLD,
        "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies "
        "replicasets replicasets/scale replicationcontrollers/scale",
    ),
    rule(WRITE, "policy", "poddisruptionbudgets"),
    rule(WRITE, "networking.k8s.io", "ingresses networkpolicies"),
    rule(READ_WRITE, "coordination.k8s.io", "leases"),
    rule(WRITE, _DYNAMIC, "resourceclaims resourceclaimtemplates"),
)

_VIEW = (
    rule(
        READ,
        "core",
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods "
        "replicationcontrollers replicationcontrollers/scale serviceaccounts services "
        "services/status",
    ),
    rule(
        READ,
        "core",
        "bindings events limitranges namespaces/status pods/log pods/status "
        "replicationcontrollers/status resourcequotas resourcequotas/status",
    ),
    rule(READ, "core", "namespaces"),
    rule(READ, "discovery.k8s.io", "endpointslices"),
    rule(
        READ,
        "apps",
        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale "
        "deployments/status replicasets replicasets/scale replicasets/status statefulsets "
        "statefulsets/scale statefulsets/status",
    ),
    rule(READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
    rule(READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
    rule(
        READ,
        _OLD,
        "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses "
        "ingresses/status networkpolicies replicasets replicasets/scale replicasets/status "
        "replicationcontrollers/scale",
    ),
    rule(READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
    rule(READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
    rule(READ, _DYNAMIC, "resourceclaims resourceclaims/status resourceclaimtemplates"),
)

_PEOPLE = (
    Role("admin", aggregates="admin"),
    Role("edit", aggregates="edit", into="admin"),
    Role("view", aggregates="view", into="edit"),
    Role(
        "system:aggregate-to-admin",
        (
            rule("create", "authorization.k8s.io", "localsubjectaccessreviews"),
            rule(READ_WRITE, "rbac.authorization.k8s.io", "rolebindings roles"),
        ),
        into="admin",
    ),
    Role("system:aggregate-to-edit", _EDIT, into="edit"),
    Role("system:aggregate-to-view", _VIEW, into="view"),
    # metrics-server's
    Role(
        "system:aggregated-metrics-reader",
        (rule(READ, "metrics.k8s.io", "nodes pods"),),
        into="view",
    ),
)

_DELEGATION = (
    rule("create", "authentication.k8s.io", "tokenreviews"),
    rule("create", "authorization.k8s.io", "subjectaccessreviews"),
)

# What the node authorizer grants by rule; also the role system:node, which is bound to nobody
NODE_RULES = (
    rule("create", "authentication.k8s.io", "tokenreviews"),
    rule("create", "authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews"),
    rule(READ, "core", "services"),
    rule("create get list watch", "core", "nodes"),
    rule("patch update", "core", "nodes/status"),
    rule("patch update", "core", "nodes"),
    rule("create patch update", "core", "events"),
    rule(READ, "core", "pods"),
    rule("create delete", "core", "pods"),
    rule("patch update", "core", "pods/status"),
    rule("create", "core", "pods/eviction"),
    rule(READ, "core", "configmaps secrets"),
    rule("get", "core", "persistentvolumeclaims persistentvolumes"),
    rule("get", "core", "endpoints"),
    rule("create get list watch", _SIGNERS, "certificatesigningrequests"),
    rule("create delete get patch update", "coordination.k8s.io", "leases"),
    rule("get", "storage.k8s.io", "volumeattachments"),
    rule("create", "core", "serviceaccounts/token"),
    rule("get patch update", "core", "persistentvolumeclaims/status"),
    rule(READ, "storage.k8s.io", "csidrivers"),
    rule("create delete get patch update", "storage.k8s.io", "csinodes"),
    rule(READ, "node.k8s.io", "runtimeclasses"),
    rule("get", _DYNAMIC, "resourceclaims"),
    rule("deletecollection", _DYNAMIC, "resourceslices"),
    rule(READ, _SIGNERS, "clustertrustbundles"),
    rule("create get list watch", _SIGNERS, "podcertificaterequests"),
    rule("get", "core", "serviceaccounts"),
)

_NODES = (
    Role("system:node", NODE_RULES),
    Role(
        "system:node-problem-detector",
        (rule("get", "core", "nodes"), rule("patch", "core", "nodes/status"), EVENTS),
    ),
    Role(
        "system:node-proxier",
        (
            rule("list watch", "core", "endpoints services"),
            rule(READ, "core", "nodes"),
            EVENTS,
            rule("list watch", "networking.k8s.io", "servicecidrs"),
            rule("list watch", "discovery.k8s.io", "endpointslices"),
        ),
    ),
    Role(
        "system:kubelet-api-admin",
        (
            rule(READ, "core", "nodes"),
            rule("proxy", "core", "nodes"),
            rule("*", "core", "nodes/log nodes/metrics nodes/proxy nodes/stats"),
            rule("*", "core", "nodes/configz nodes/healthz nodes/pods"),
        ),
    ),
    Role(
        "system:node-bootstrapper",
        (rule("create get list watch", _SIGNERS, "certificatesigningrequests"),),
    ),
)

_COMPONENTS = (
    Role("system:auth-delegator", _DELEGATION),
    Role("system:kube-aggregator", (rule(READ, "core", "endpoints services"),)),
    Role(
        "system:kube-controller-manager",
        (
            EVENTS,
            rule("create", "coordination.k8s.io", "leases"),
            rule("get update", "coordination.k8s.io", "leases", "kube-controller-manager"),
            rule("create", "core", "secrets serviceaccounts"),
            rule("delete", "core", "secrets"),
            rule("get", "core", "configmaps namespaces secrets serviceaccounts"),
            rule("update", "core", "secrets serviceaccounts"),
            *_DELEGATION,
            rule("list watch", "*", "*"),
            rule("create", "core", "serviceaccounts/token"),
        ),
    ),
    Role(
        "system:kube-scheduler",
        (
            EVENTS,
            rule("create", "coordination.k8s.io", "leases"),
            rule("get list update watch", "coordination.k8s.io", "leases", "kube-scheduler"),
            rule(READ_WRITE, "coordination.k8s.io", "leasecandidates"),
            rule(READ, "core", "nodes"),
            rule("delete get list watch", "core", "pods"),
            rule("create", "core", "bindings pods/binding"),
            rule("patch update", "core", "pods/status"),
            rule(READ, "core", "replicationcontrollers services"),
            rule(READ, f"apps {_OLD}", "replicasets"),
            rule(READ, "apps", "statefulsets"),
            rule(READ, "policy", "poddisruptionbudgets"),
            rule(READ, "core", "persistentvolumeclaims persistentvolumes"),
            *_DELEGATION,
            rule(READ, "storage.k8s.io", "csinodes"),
            rule(READ, "storage.k8s.io", "volumeattachments"),
            rule(READ, "core", "namespaces"),
            rule(READ, "storage.k8s.io", "csidrivers"),
            rule(READ, "storage.k8s.io", "csistoragecapacities"),
            rule(READ, _DYNAMIC, "deviceclasses"),
            rule(READ_UPDATE, _DYNAMIC, "resourceclaims"),
            rule("create delete", _DYNAMIC, "resourceclaims"),
            rule(READ_UPDATE, _DYNAMIC, "resourceclaims/status"),
            rule("patch update", _DYNAMIC, "resourceclaims/binding"),
            rule(READ_UPDATE, "core", "pods/finalizers"),
            rule(READ, _DYNAMIC, "resourceslices"),
            rule(READ, _DYNAMIC, "devicetaintrules"),
        ),
    ),
    Role("system:kube-dns", (rule("list watch", "core", "endpoints services"),)),
    Role(
        "system:heapster",
        (
            rule(READ, "core", "events namespaces nodes pods"),
            rule(READ, _OLD, "deployments"),
        ),
    ),
    Role(
        "system:persistent-volume-provisioner",
        (
            rule("create delete get list watch", "core", "persistentvolumes"),
            rule("get list update watch", "core", "persistentvolumeclaims"),
            rule(READ, "storage.k8s.io", "storageclasses"),
            rule("watch", "core", "events"),
            EVENTS,
        ),
    ),
    Role(
        "system:volume-scheduler",
        (
            rule(READ_UPDATE, "core", "persistentvolumes"),
            rule(READ, "storage.k8s.io", "storageclasses"),
            rule(READ_UPDATE, "core", "persistentvolumeclaims"),
        ),
    ),
)


def _approver(name: str, signer: str) -> Role:
    approve = rule("approve", _SIGNERS, "signers", f"kubernetes.io/{signer}")
    return Role(f"system:certificates.k8s.io:{name}", (approve,))


def _requester(kind: str) -> Role:
    create = rule("create", _SIGNERS, f"certificatesigningrequests/{kind}")
    return Role(f"system:certificates.k8s.io:certificatesigningrequests:{kind}", (create,))


_CERTIFICATES = (
    _requester("nodeclient"),
    _requester("selfnodeclient"),
    _approver("legacy-unknown-approver", "legacy-unknown"),
    _approver("kubelet-serving-approver", "kubelet-serving"),
    _approver("kube-apiserver-client-approver", "kube-apiserver-client"),
    _approver("kube-apiserver-client-kubelet-approver", "kube-apiserver-client-kubelet"),
)

CLUSTER_ROLES = (*_EVERYBODY, *_PEOPLE, *_NODES, *_COMPONENTS, *_CERTIFICATES)

_AUTHENTICATED = "Group:system:authenticated"

CLUSTER_BINDINGS = (
    Binding("cluster-admin", ("Group:system:masters",)),
    Binding("system:monitoring", ("Group:system:monitoring",)),
    Binding("system:discovery", (_AUTHENTICATED,)),
    Binding("system:basic-user", (_AUTHENTICATED,)),
    Binding("system:public-info-viewer", (_AUTHENTICATED, "Group:system:unauthenticated")),
    Binding("system:node-proxier", ("User:system:kube-proxy",)),
    Binding("system:kube-controller-manager", ("User:system:kube-controller-manager",)),
    Binding("system:kube-dns", ("ServiceAccount:kube-system/kube-dns",)),
    Binding("system:kube-scheduler", ("User:system:kube-scheduler",)),
    Binding("system:volume-scheduler", ("User:system:kube-scheduler",)),
    Binding("system:node"),
    Binding("system:service-account-issuer-discovery", ("Group:system:serviceaccounts",)),
    Binding("system:cluster-trust-bundle-discovery", ("Group:system:serviceaccounts",)),
)
