"""What the tests of the deployment share with those of the call and of the accounts."""

from tests.agent.conftest import furnished as furnished
from tests.agent.conftest import open_exchange as open_exchange
from tests.personas.conftest import cheap_hashing as cheap_hashing
